"""One self-contained HTML page from finished runs. It reads records and small pictures, and never touches a model."""

from .page import Report, check_destination, write_report

__all__ = ["Report", "check_destination", "write_report"]
