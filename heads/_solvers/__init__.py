"""Solvers that fit many settings of a head at once, for a search; heads are their only users."""
