"""The pages of the catalogue (资源库): for staff /desk/library, for anyone /search, /r and /e."""
