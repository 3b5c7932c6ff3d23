"""Objects of S3 stores as addresses that are read like any other: signed for an hour where keys are given.

The signature is AWS Signature Version 4 in the query
(https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html). Buckets without a row in the providers'
table and without keys in the environment are asked for without a signature, as public ones.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from pipeline.catalogue.hrefs import redact_href
from pipeline.catalogue.providers import Access
from pipeline.model.errors import PixelError

VALID_SECONDS = 3600
"""How long a signed address can be read from: longer than any one read, with all its tries."""
DEFAULT_REGION = "us-east-1"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def address_of(href: str, access: Access, environment: Mapping[str, str], now: datetime) -> str:
    """The address of an `s3:` href, signed where the environment has keys. Raises PixelError for any other href.

    Endpoint and region are those of the providers' table, else of AWS_S3_ENDPOINT and AWS_REGION, else of AWS.
    """
    bucket, _, key = href.removeprefix("s3://").partition("/")
    if not _BUCKET.fullmatch(bucket) or not key:
        raise PixelError("names no object of a bucket", redact_href(href), "drop the item from the catalogue")
    region = access.region or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or DEFAULT_REGION
    endpoint = access.endpoint or environment.get("AWS_S3_ENDPOINT", "")
    if endpoint:
        root = endpoint if "://" in endpoint else f"https://{endpoint}"
        address = f"{root.rstrip('/')}/{bucket}/{quote(key, safe='/-_.~')}"
    elif "." in bucket:  # the certificate of the store is for one name below it
        address = f"https://s3.{region}.amazonaws.com/{bucket}/{quote(key, safe='/-_.~')}"
    else:
        address = f"https://{bucket}.s3.{region}.amazonaws.com/{quote(key, safe='/-_.~')}"
    keys = environment.get("AWS_ACCESS_KEY_ID", ""), environment.get("AWS_SECRET_ACCESS_KEY", "")
    if not all(keys):
        return address
    more = {"x-amz-request-payer": "requester"} if access.is_requester_pays else {}
    token = environment.get("AWS_SESSION_TOKEN")
    return sign_address(address, region, keys, now, {**more, **({"X-Amz-Security-Token": token} if token else {})})


def sign_address(
    address: str,
    region: str,
    keys: tuple[str, str],
    now: datetime,
    more: Mapping[str, str],
    seconds: int = VALID_SECONDS,
) -> str:
    """An address with the signature of a GET in its query. keys: access key and secret key."""
    parts, moment = urlsplit(address), now.astimezone(UTC)
    day = f"{moment:%Y%m%d}"
    scope = f"{day}/{region}/s3/aws4_request"
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{keys[0]}/{scope}",
        "X-Amz-Date": f"{moment:%Y%m%dT%H%M%SZ}",
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
        **more,
    }
    text = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in sorted(query.items()))
    request = "\n".join(["GET", parts.path, text, f"host:{parts.netloc}", "", "host", "UNSIGNED-PAYLOAD"])
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{keys[1]}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    to_sign = "\n".join(["AWS4-HMAC-SHA256", query["X-Amz-Date"], scope, digest])
    return f"{address}?{text}&X-Amz-Signature={hmac.new(key, to_sign.encode(), 'sha256').hexdigest()}"
