package bench

// probeOrder tells a second process of this program to probe, and nothing else: so its cost is its own.
const probeOrder = "UPGRADEGATE_BENCH_PROBE"
