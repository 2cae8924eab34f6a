"""A complete output becomes its next generation, or several become one."""
