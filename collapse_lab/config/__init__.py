"""The configuration: composed, checked against constructors, identified, and built into a lab."""
