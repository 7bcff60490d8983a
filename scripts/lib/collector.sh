# SPDX-License-Identifier: Apache-2.0
# A real OpenTelemetry Collector, built from Debian's Go packages (nothing is installed; only the program is kept).
COLLECTOR=$CACHE/otel-collector
prepare_collector() { [ -x "$COLLECTOR" ]; }
