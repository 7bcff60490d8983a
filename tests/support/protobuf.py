# SPDX-License-Identifier: Apache-2.0
"""Protobuf's wire format, read without any generated code, and OTLP's messages by their published field numbers
(opentelemetry/proto/{trace/v1/trace,logs/v1/logs,metrics/v1/metrics,common/v1/common,resource/v1/resource}.proto)."""
import struct


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data):
    """{field number: [values]}; a value is an int (varint), or bytes (length-delimited, fixed32, fixed64)."""
    found, at = {}, 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
        else:
            if kind == 2:
                size, at = _varint(data, at)
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
            else:
                raise ValueError(f"wire type {kind}")
            if at + size > len(data):
                raise ValueError("cut off")
            value, at = data[at:at + size], at + size
        found.setdefault(number, []).append(value)
    return found


def _any_value(data):
    (number, (value, *_)), = fields(data).items()
    if number == 1:
        return value.decode()
    if number == 2:
        return bool(value)
    if number == 3:
        return value - (1 << 64) if value >> 63 else value
    if number == 4:
        return struct.unpack("<d", value)[0]
    if number == 5:
        return [_any_value(one) for one in fields(value).get(1, [])]
    raise ValueError(f"AnyValue field {number}")


def _attributes(values):
    pairs = {}
    for data in values:
        pair = fields(data)
        key = pair[1][0].decode()
        if key in pairs:
            raise ValueError(f"attribute {key} twice")
        pairs[key] = _any_value(pair[2][0])
    return pairs


def _span(data, resource, scope):
    span = fields(data)
    status = fields(span[15][0]) if 15 in span else {}
    return {
        "trace_id": span[1][0].hex(), "span_id": span[2][0].hex(), "state": span.get(3, [b""])[0].decode(),
        "parent": span.get(4, [b""])[0].hex(), "name": span[5][0].decode(), "kind": span[6][0],
        "start": struct.unpack("<Q", span[7][0])[0], "end": struct.unpack("<Q", span[8][0])[0],
        "attributes": _attributes(span.get(9, [])), "status": status.get(3, [0])[0], "resource": resource,
        "scope": scope,
    }


def _log_record(data, resource, scope):
    record = fields(data)
    return {
        "time": struct.unpack("<Q", record[1][0])[0], "severity": record[2][0], "body": _any_value(record[5][0]),
        "attributes": _attributes(record.get(6, [])), "trace_id": record.get(9, [b""])[0].hex(),
        "span_id": record.get(10, [b""])[0].hex(), "event": record.get(12, [b""])[0].decode(), "resource": resource,
        "scope": scope,
    }


def _points(data, resource, scope):
    metric = fields(data)
    kind, (body,) = next((name, metric[number]) for number, name in ((5, "gauge"), (7, "sum")) if number in metric)
    body, told = fields(body), []
    for point in map(fields, body.get(1, [])):
        (value,) = struct.unpack("<d", point[4][0]) if 4 in point else struct.unpack("<q", point[6][0])
        told.append({
            "name": metric[1][0].decode(), "unit": metric[3][0].decode(), "kind": kind, "value": value,
            "begin": struct.unpack("<Q", point[2][0])[0] if 2 in point else None,
            "time": struct.unpack("<Q", point[3][0])[0], "attributes": _attributes(point.get(7, [])),
            "cumulative": body.get(2) == [2], "monotonic": body.get(3) == [1], "resource": resource, "scope": scope,
        })
    return told


def _items(data, read):
    """Export requests of all signals are made alike: groups with a resource, of groups with a scope, of items."""
    found = []
    for group in fields(data).get(1, []):
        group = fields(group)
        resource = _attributes(fields(group[1][0]).get(1, []))
        for scope in group.get(2, []):
            scope = fields(scope)
            name = fields(scope[1][0])[1][0].decode()
            found += [read(item, resource, name) for item in scope.get(2, [])]
    return found


def spans(data):
    """All spans of an ExportTraceServiceRequest."""
    return _items(data, _span)


def points(data):
    """All points of an ExportMetricsServiceRequest."""
    return [point for metric in _items(data, _points) for point in metric]


def log_records(data):
    """All records of an ExportLogsServiceRequest."""
    return _items(data, _log_record)
