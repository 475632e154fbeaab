"""Sections of the report; each module has a function ``context(facts)`` for its template."""
