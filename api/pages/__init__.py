"""The HTML pages: templates, their data shapes, their routes and their front-end build."""
