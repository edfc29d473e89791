"""Who runs the corridors: a durable queue, its supervisor and worker processes."""
