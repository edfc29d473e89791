"""Questions asked of results: what goes along with what. Each file answers one."""
