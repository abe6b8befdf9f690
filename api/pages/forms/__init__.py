"""The desk's page of one clip: its phone forms."""
