"""上传: files on their way in, and what became of them."""
