"""An application with metrics of every type of prometheus_client: exporter.py PORT. Its own values do not change."""
import sys
import threading

from prometheus_client import Counter, Enum, Gauge, Histogram, Info, Summary, start_http_server

requests = Counter("shop_requests", "Requests.", ["path"])
requests.labels('/"quoted"\\path\n').inc(3)
requests.labels("/").inc(1e21, exemplar={"trace": "x"})
requests.labels("").inc()
for name, value in [("nan", "nan"), ("inf", "inf"), ("negative", "-0.1")]:
    Gauge("shop_" + name, "A gauge.").set(float(value))
seconds = Histogram("shop_seconds", "Time of a request.", ["path"])
seconds.labels("/").observe(0.3, exemplar={"trace": "y"})
Summary("shop_bytes", "Size of a request.").observe(17)
Info("shop_version", "The version.").info({"version": "1.2", "name": "shop"})
Enum("shop_state", "The state.", states=["open", "closed"]).state("closed")

start_http_server(int(sys.argv[1]), addr="127.0.0.1")
threading.Event().wait()
