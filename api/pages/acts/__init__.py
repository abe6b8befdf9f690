"""The desk's pages of acts: the timeline, the programme list, the marks at a live show."""
