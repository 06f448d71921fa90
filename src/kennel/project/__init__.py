"""A project of one's own around Kennel, made of this repository's own files."""
