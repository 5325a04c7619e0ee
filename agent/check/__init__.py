"""The pre-flight of an image or an instance: looks that change nothing, each judged in a line with what to do."""
