"""Every app in every mode that it is for, as processes that talk with each other: ``nox -s matrix``."""
