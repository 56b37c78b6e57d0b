"""Access logs described by a template: the words that servers describe them with, their rules, a fast look."""
