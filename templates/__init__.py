"""The files that annex-agent writes, as jinja2 templates, laid out by the program that reads them."""
