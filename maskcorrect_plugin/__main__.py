"""``python -m maskcorrect_plugin`` is ``maskcorrect``."""

from .cli import app

if __name__ == "__main__":
    app(prog_name="python -m maskcorrect_plugin")
