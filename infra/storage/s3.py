"""Storage in an S3 bucket: whole-object puts, multipart for large ones, aborted when they fail."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from infra.storage.port import (
    AlreadyThere,
    InvalidKey,
    NotFound,
    StorageError,
    StorageFull,
    check_key,
    check_prefix,
    check_range,
    content_type,
)

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef

# S3 refuses parts under 5 MiB (but for the last), and more than 10 000 of them.
PART_MIN: Final = 5 << 20
PART_SIZE: Final = 16 << 20
PARTS_MAX: Final = 10_000
COPY_MAX: Final = 5 << 30
_CHUNK: Final = 1 << 20
_DELETE_BATCH: Final = 1000

# At the worst (nothing ever answers) a call gives up after about a minute and a half.
CONNECT_TIMEOUT_SECONDS: Final = 3
READ_TIMEOUT_SECONDS: Final = 15
ATTEMPTS: Final = 4
POOL_CONNECTIONS: Final = 16

_NOT_FOUND: Final = frozenset({"404", "NoSuchKey", "NotFound"})
_TAKEN: Final = frozenset({"412", "PreconditionFailed", "ConditionalRequestConflict"})
_FULL: Final = frozenset(
    {"507", "InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuota"}
)


class S3Storage:
    """See :class:`infra.storage.port.Storage`. Objects lie under ``{prefix}/`` in ``bucket``.

    Credentials and region come from where AWS tools look for them (`AWS_ACCESS_KEY_ID`, …).
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint: str | None = None,
        public_endpoint: str | None = None,
    ) -> None:
        """``public_endpoint`` is what presigned URLs name, where browsers reach another address
        than we do."""
        if not bucket:
            raise ValueError("an s3:// storage URL names a bucket: s3://bucket/prefix")
        self._bucket = bucket
        self._prefix = check_prefix(prefix + "/") if prefix else ""
        self._client = _connect(endpoint)
        # The host is part of what is signed, so it cannot be put in afterwards.
        self._signer = _connect(public_endpoint) if public_endpoint else self._client
        self._probe_lock = Lock()
        self._conditional: bool | None = None

    # -- writing

    def put_bytes(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        name = self._name(key)
        if if_absent:
            self._require_absent(key)
        with _translated(key):
            if if_absent and self._conditional:
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=name,
                    Body=data,
                    ContentType=content_type(key),
                    IfNoneMatch="*",
                )
            else:
                self._client.put_object(
                    Bucket=self._bucket, Key=name, Body=data, ContentType=content_type(key)
                )

    def put_file(self, key: str, path: Path, *, if_absent: bool = False) -> int:
        with path.open("rb") as file:
            data = file.read(PART_SIZE)
            if len(data) < PART_SIZE:
                self.put_bytes(key, data, if_absent=if_absent)
                return len(data)
            name = self._name(key)
            if if_absent:
                self._require_absent(key)
            with _translated(key), self._multipart(name, key) as upload:
                while data:
                    upload.send(data)
                    data = file.read(PART_SIZE)
                upload.complete(if_absent=if_absent and bool(self._conditional))
            return file.tell()

    def concat(
        self,
        key: str,
        parts: Sequence[str],
        *,
        between: bytes = b"",
        progress: Callable[[int], None] | None = None,
    ) -> list[int]:
        name = self._name(key)
        sizes: list[int] = []
        done = 0
        with _translated(key), self._multipart(name, key) as upload:
            for part in parts:
                if sizes:
                    upload.gather(between)
                    done += len(between)
                with _translated(part):
                    size = self._append(upload, part)
                sizes.append(size)
                done += size
                if progress is not None:
                    progress(done)
            if upload.is_small:
                # Too little for a multipart upload of even one part (which may be empty).
                self.put_bytes(key, upload.take())
                upload.abort()
            else:
                upload.complete(if_absent=False)
        return sizes

    def _append(self, upload: _Multipart, part: str) -> int:
        """Large objects are copied inside S3; small ones pass through here, gathered."""
        name = self._name(part)
        answer = self._client.get_object(Bucket=self._bucket, Key=name)
        size = answer["ContentLength"]
        with closing(answer["Body"]) as body:
            # A copied range must be a whole part, so what waits before it must be one too.
            missing = max(0, PART_MIN - upload.waiting) if upload.waiting else 0
            if not PART_MIN <= size - missing <= COPY_MAX:
                _stream(body, upload, size)
                return size
            _stream(body, upload, missing)
            # The rest of the body is not read: its connection is dropped, not drained.
        upload.flush()
        upload.copy(name, missing, size)
        return size

    def _multipart(self, name: str, key: str) -> _Multipart:
        return _Multipart(self._client, self._bucket, name, content_type(key))

    def _require_absent(self, key: str) -> None:
        """Some vendors ignore `If-None-Match`: probed once, by trying. There the check is apart
        from the put, and two writers at the same instant may both succeed."""
        with self._probe_lock:
            if self._conditional is None:
                self._conditional = self._probe()
        if not self._conditional and self.size(key) is not None:
            raise AlreadyThere(key)

    def _probe(self) -> bool:
        name = f"{self._prefix}-probe/{secrets.token_hex(8)}"
        with _translated("probe of conditional writes"):
            self._client.put_object(Bucket=self._bucket, Key=name, Body=b"")
            try:
                self._client.put_object(Bucket=self._bucket, Key=name, Body=b"", IfNoneMatch="*")
            except ClientError as error:
                if _code(error) in _TAKEN:
                    return True
                if _code(error) in ("NotImplemented", "501"):
                    return False
                raise
            else:
                return False
            finally:
                self._client.delete_object(Bucket=self._bucket, Key=name)

    # -- reading

    def get(self, key: str) -> bytes:
        name = self._name(key)

        def read() -> bytes:
            return self._client.get_object(Bucket=self._bucket, Key=name)["Body"].read()

        with _translated(key):
            return _again_if_cut(read)

    def open_range(self, key: str, start: int, end: int) -> bytes:
        check_range(start, end)
        name = self._name(key)
        if start == end:
            # HTTP cannot ask for no bytes.
            if (size := self.size(key)) is None or start > size:
                raise NotFound(key)
            return b""

        def read() -> bytes:
            answer = self._client.get_object(
                Bucket=self._bucket, Key=name, Range=f"bytes={start}-{end - 1}"
            )
            return answer["Body"].read()

        with _translated(key):
            try:
                return _again_if_cut(read)
            except ClientError as error:
                if _code(error) not in ("InvalidRange", "416"):
                    raise
                if self.size(key) == start:
                    return b""
                raise NotFound(f"{key}: {start} is beyond its end") from error

    def fetch(self, key: str, path: Path) -> int:
        with _translated(key):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._name(key))
            with closing(answer["Body"]) as body, path.open("wb") as file:
                for chunk in body.iter_chunks(_CHUNK):
                    file.write(chunk)
                return file.tell()

    def size(self, key: str) -> int | None:
        name = self._name(key)
        try:
            with _translated(key):
                return self._client.head_object(Bucket=self._bucket, Key=name)["ContentLength"]
        except NotFound:
            return None

    def list(self, prefix: str) -> Iterator[str]:
        name = self._prefix + check_prefix(prefix)
        pages = self._client.get_paginator("list_objects_v2")
        with _translated(prefix):
            for page in pages.paginate(Bucket=self._bucket, Prefix=name):
                for item in page.get("Contents", ()):
                    yield item["Key"].removeprefix(self._prefix)

    def local_path(self, key: str) -> Path | None:
        check_key(key)
        return None

    def presign(self, key: str, seconds: int, *, disposition: str = "") -> str | None:
        # Signed here, without asking the server.
        wanted = {"Bucket": self._bucket, "Key": self._name(key)}
        if disposition:
            wanted["ResponseContentDisposition"] = disposition
        return self._signer.generate_presigned_url("get_object", wanted, ExpiresIn=seconds)

    # -- deleting

    def delete(self, key: str) -> None:
        with _translated(key):
            self._client.delete_object(Bucket=self._bucket, Key=self._name(key))

    def delete_prefix(self, prefix: str) -> int:
        if not check_prefix(prefix):
            raise InvalidKey("everything cannot be deleted at once")
        deleted = 0
        batch: list[str] = []
        for key in self.list(prefix):
            batch.append(self._prefix + key)
            if len(batch) == _DELETE_BATCH:
                deleted += self._delete_batch(batch, prefix)
                batch = []
        if batch:
            deleted += self._delete_batch(batch, prefix)
        return deleted

    def _delete_batch(self, names: Sequence[str], prefix: str) -> int:
        with _translated(prefix):
            answer = self._client.delete_objects(
                Bucket=self._bucket,
                Delete={"Objects": [{"Key": name} for name in names], "Quiet": True},
            )
        if errors := answer.get("Errors"):
            first = errors[0]
            raise StorageError(f"{prefix}: {len(errors)} not deleted, first: {first.get('Code')}")
        return len(names)

    def sweep(self, older_than_seconds: float) -> int:
        before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=older_than_seconds)
        swept = 0
        pages = self._client.get_paginator("list_multipart_uploads")
        with _translated("sweep"):
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix):
                for upload in page.get("Uploads", ()):
                    if upload["Initiated"] < before:
                        self._client.abort_multipart_upload(
                            Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                        )
                        swept += 1
        return swept

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)


class _Multipart:
    """One multipart upload: aborted unless completed, since its parts are billed until then."""

    def __init__(self, client: S3Client, bucket: str, name: str, media_type: str) -> None:
        self._client = client
        self._bucket = bucket
        self._name = name
        self._media_type = media_type
        self._id: str | None = None
        self._parts: list[CompletedPartTypeDef] = []
        self._waiting = bytearray()

    def __enter__(self) -> _Multipart:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        self.abort()
        return False

    @property
    def waiting(self) -> int:
        """Bytes gathered for the next part."""
        return len(self._waiting)

    @property
    def is_small(self) -> bool:
        """Nothing has been sent yet: one plain put will do."""
        return not self._parts

    def gather(self, data: bytes) -> None:
        """Add to the next part; sent once there is enough of it."""
        self._waiting += data
        if len(self._waiting) >= PART_SIZE:
            self.flush()

    def take(self) -> bytes:
        """What waits, taken away."""
        data = bytes(self._waiting)
        self._waiting.clear()
        return data

    def flush(self) -> None:
        """Send what waits: at least PART_MIN bytes, or the last part."""
        if self._waiting:
            self.send(self.take())

    def send(self, data: bytes) -> None:
        answer = self._client.upload_part(
            Bucket=self._bucket,
            Key=self._name,
            UploadId=self._begun(),
            PartNumber=self._number(),
            Body=data,
        )
        self._parts.append({"PartNumber": self._number(), "ETag": answer["ETag"]})

    def copy(self, source: str, start: int, end: int) -> None:
        """A range of another object as one part, without its bytes passing through here."""
        answer = self._client.upload_part_copy(
            Bucket=self._bucket,
            Key=self._name,
            UploadId=self._begun(),
            PartNumber=self._number(),
            CopySource={"Bucket": self._bucket, "Key": source},
            CopySourceRange=f"bytes={start}-{end - 1}",
        )
        etag = answer["CopyPartResult"].get("ETag")
        if etag is None:
            raise StorageError(f"{source}: the copy was not confirmed")
        self._parts.append({"PartNumber": self._number(), "ETag": etag})

    def complete(self, *, if_absent: bool) -> None:
        self.flush()
        upload_id = self._begun()
        if if_absent:
            self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=self._name,
                UploadId=upload_id,
                MultipartUpload={"Parts": self._parts},
                IfNoneMatch="*",
            )
        else:
            self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=self._name,
                UploadId=upload_id,
                MultipartUpload={"Parts": self._parts},
            )
        self._id = None

    def abort(self) -> None:
        if self._id is None:
            return
        upload_id, self._id = self._id, None
        try:
            self._client.abort_multipart_upload(
                Bucket=self._bucket, Key=self._name, UploadId=upload_id
            )
        except (BotoCoreError, ClientError):
            # The first error is the one to report; sweep() aborts what is left.
            return

    def _begun(self) -> str:
        if self._id is None:
            self._id = self._client.create_multipart_upload(
                Bucket=self._bucket, Key=self._name, ContentType=self._media_type
            )["UploadId"]
        return self._id

    def _number(self) -> int:
        number = len(self._parts) + 1
        if number > PARTS_MAX:
            raise StorageError(f"{self._name}: more than {PARTS_MAX} parts")
        return number


def _again_if_cut(read: Callable[[], bytes]) -> bytes:
    """boto3 tries again when a request fails, but not when the body of its answer is cut off."""
    try:
        return read()
    except (ResponseStreamingError, IncompleteReadError, ReadTimeoutError):
        return read()


class _Body(Protocol):
    def read(self, amt: int, /) -> bytes: ...


def _stream(body: _Body, upload: _Multipart, size: int) -> None:
    left = size
    while left:
        data = body.read(min(left, _CHUNK))
        if not data:
            raise StorageError(f"an object ended {left} bytes early")
        upload.gather(data)
        left -= len(data)


def _connect(endpoint: str | None) -> S3Client:
    return boto3.session.Session().client(
        "s3", endpoint_url=endpoint, config=_config(own_endpoint=endpoint is not None)
    )


def _config(*, own_endpoint: bool) -> Config:
    return Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
        max_pool_connections=POOL_CONNECTIONS,
        signature_version="s3v4",
        # Other vendors: bucket names are not host names there, and the checksums AWS added in
        # 2025 are refused by many.
        s3={"addressing_style": "path" if own_endpoint else "auto"},
        request_checksum_calculation="when_required" if own_endpoint else "when_supported",
        response_checksum_validation="when_required" if own_endpoint else "when_supported",
    )


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = _code(error)
        if code in _NOT_FOUND:
            raise NotFound(what) from error
        if code in _TAKEN:
            raise AlreadyThere(what) from error
        if code in _FULL:
            raise StorageFull(f"{what}: the bucket has no room left ({code})") from error
        raise StorageError(f"{what}: S3 said {code}") from error
    except BotoCoreError as error:
        raise StorageError(f"{what}: S3 cannot be reached ({type(error).__name__})") from error
