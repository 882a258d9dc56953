"""The sweep file: its sections, how it is read, and the errors that name field and value."""
