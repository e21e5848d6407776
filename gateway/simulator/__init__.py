"""Simulated terminals: where a machine is (pure, seeded), what its terminal says (sans-IO), and the sockets."""
