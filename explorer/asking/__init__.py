"""Questions asked of results on disk: what speaks for a label, why a verdict, how groups differ; and their figures."""
