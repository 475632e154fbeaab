"""The sections of the report: each has one function ``context(facts)``, for its template."""
