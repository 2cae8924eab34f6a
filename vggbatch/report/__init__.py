"""Pages about finished runs: one HTML file each, with nothing to fetch and nothing to install."""

from vggbatch.report.comparison import write_comparison
from vggbatch.report.leaderboard import write_leaderboard
from vggbatch.report.run import write_report
from vggbatch.report.several import write_joined_report

__all__ = ["write_comparison", "write_joined_report", "write_leaderboard", "write_report"]
