"""One trace from the caller through Posthaste to the receiver, as an OTLP receiver sees it that reads it with OpenTelemetry's own protocol.

    traces.py PROGRAMS

Starts an OTLP receiver, a receiver of callbacks, and Posthaste (PROGRAMS/posthaste) on a fresh database; exits with 1 and says why if a
span is missing, or is not where it belongs.
"""
import http.server, json, os, pathlib, queue, signal, socket, subprocess, sys, tempfile, threading, time, urllib.request

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SECRET = "hunter2-of-the-message"
spans, calls = queue.Queue(), queue.Queue()


class Otlp(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path != "/v1/traces" or SECRET.encode() in body:
            spans.put(f"unexpected: {self.path}, or a body in a span")
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {it.key: it.value.string_value for it in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    facts = {it.key: it.value.string_value or it.value.int_value for it in span.attributes}
                    spans.put({"service": names["service.name"], "name": span.name, "trace": span.trace_id.hex(), "id": span.span_id.hex(),
                               "parent": span.parent_span_id.hex(), "kind": span.kind, "status": span.status.code, **facts})
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Callbacks(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        first = self.headers["posthaste-attempt"] == "1"
        calls.put({"path": self.path, "traceparent": self.headers["traceparent"], "tracestate": self.headers["tracestate"]})
        self.send_response(500 if first and self.path == "/flaky" else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def serve(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def check(condition, text):
    if not condition:
        sys.exit(f"traces: {text}")


def take(source, count, what):
    try:
        return [source.get(timeout=30) for _ in range(count)]
    except queue.Empty:
        sys.exit(f"traces: {what} did not come")


class Posthaste:
    def __init__(self, programs, **environment):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = tempfile.TemporaryDirectory()
        os.chmod(self.folder.name, 0o755)
        environment |= {"PATH": os.environ["PATH"], "PORT": str(self.port), "DATA_DIR": f"{self.folder.name}/data", "LOG": "warn"}
        self.process = subprocess.Popen([pathlib.Path(programs, "posthaste")], env=environment, stdout=subprocess.DEVNULL)
        for _ in range(600):
            try:
                return self.ask("/readyz") and None
            except OSError:
                check(self.process.poll() is None, "posthaste does not start")
                time.sleep(0.1)

    def ask(self, path, body=None, **headers):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, {"content-type": "application/json", **headers})
        return json.load(urllib.request.urlopen(request, timeout=10))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        check(self.process.wait(60) == 0, "posthaste does not end in order")
        self.folder.cleanup()


def context(traceparent):
    version, trace, span, flags = traceparent.split("-")
    check(version == "00", traceparent)
    return trace, span, flags


def main():
    otlp, receiver = serve(Otlp), serve(Callbacks)
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{otlp}"}
    posthaste = Posthaste(sys.argv[1], **endpoint)
    policy = {"type": "fixed", "waitMs": 10}
    make = lambda path: posthaste.ask("/queues", {"name": path, "callbackUrl": f"http://127.0.0.1:{receiver}{path}", "method": "POST",
                                                  "retryPolicy": policy, "headers": {"x-token": SECRET}})["id"]
    flaky, good = make("/flaky"), make("/good")
    take(spans, 2, "the spans of the queues")

    # The caller's trace goes on, over a retry.
    trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    message = posthaste.ask("/messages?fields=id", {"queueId": flaky, "body": SECRET}, traceparent=f"00-{trace}-{caller}-01", tracestate="a=b")
    first, second = take(calls, 2, "the attempts")
    told = {it["id"]: it for it in take(spans, 3, "the spans of a message")}
    check(all(it["trace"] == trace for it in told.values()), f"another trace: {told}")
    request = next(it for it in told.values() if it["service"] == "posthaste-api")
    check((request["name"], request["parent"], request["kind"]) == ("POST /messages", caller, 2), request)
    check((request["http.request.method"], request["http.response.status_code"]) == ("POST", 200), request)
    for number, call in enumerate([first, second], 1):
        check(call["tracestate"] == "a=b", call)
        attempt = told[context(call["traceparent"])[1]]
        check((attempt["service"], attempt["parent"], attempt["kind"]) == ("posthaste-deliverer", request["id"], 3), attempt)
        check((attempt["posthaste.message.id"], attempt["posthaste.queue.id"], attempt["posthaste.attempt"]) == (int(message["id"]), int(flaky), number), attempt)
        check(attempt["http.response.status_code"] == (500 if number == 1 else 200), attempt)
        check(attempt["status"] == (2 if number == 1 else 0), attempt)

    # What has no trace begins one; a caller that does not want to be traced is not.
    posthaste.ask("/messages", {"queueId": good, "body": "x"})
    (call,) = take(calls, 1, "an attempt")
    told = take(spans, 2, "the spans of a message")
    check(len({it["trace"] for it in told}) == 1 and context(call["traceparent"])[0] == told[0]["trace"], told)
    posthaste.ask("/messages", {"queueId": good, "body": "x"}, traceparent=f"00-{trace}-{caller}-00")
    (call,) = take(calls, 1, "an attempt")
    check(context(call["traceparent"])[0] == trace and context(call["traceparent"])[2] == "00", call)
    posthaste.stop()
    check(spans.empty(), "a span that nobody wanted")

    # Of none of those that begin here; and where nobody listens, nothing waits.
    for settings in [{**endpoint, "OTEL_TRACES_SAMPLER_ARG": "0"}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}]:
        posthaste = Posthaste(sys.argv[1], **settings)
        good = make("/good")
        posthaste.ask("/messages", {"queueId": good, "body": "x"})
        take(calls, 1, "an attempt")
        posthaste.stop()
    check(spans.empty(), "a span that was not sampled")
    print("traces: one from the caller to the receiver")


main()
