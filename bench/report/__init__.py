"""The report: records → pages and figures. It knows records and nothing else."""
