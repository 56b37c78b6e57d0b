"""Access logs by a template: the words that servers describe them with, the rules, and a fast look."""
