"""The embedded default: procedural fine-grained scenes and a small network trained on them, both in the package."""
