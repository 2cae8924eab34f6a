"""Programs for developers: they make what is kept in the repository, or the site of its pages."""
