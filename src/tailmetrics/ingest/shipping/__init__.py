"""Lines of files on their way to a topic of Kafka, as they are: the edge of a fleet."""
