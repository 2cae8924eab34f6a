"""Who may write to an output, and that nobody else does: claims, leases, fenced writes."""
