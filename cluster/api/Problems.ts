/**
 * What the API answers when it does not do what was asked: `application/problem+json`, with a
 * stable `code`, what is wrong, and what to do about it. Never a stack, a statement or a path.
 *
 * They are classes, so that a client catches them by tag as the server fails with them.
 */
import { Schema } from "effect"
import { HttpApiError } from "effect/http-api"
import { StateName } from "../../core/domain/Run.ts"
import { RunIdFromString } from "../../core/domain/RunId.ts"

const words = {
  /** What is wrong, in a sentence. */
  detail: Schema.String,
  /** What to do about it. */
  remedy: Schema.String,
}

const about = <const Code extends string, const Status extends number>(
  code: Code,
  status: Status,
  title: string,
) => ({ type: `urn:belfry:problem:${code}` as const, status, title })

/** The token is missing or is not one of the server's. */
export class TokenRefused extends HttpApiError.Problem<TokenRefused>()(
  "TokenRefused",
  about("token-refused", 401, "The token is missing or unknown"),
  { ...words, code: Schema.tag("token-refused") },
) {}

/** The request does not have the shape that the API describes. */
export class RequestUnreadable extends HttpApiError.Problem<RequestUnreadable>()(
  "RequestUnreadable",
  about("request-unreadable", 400, "The request cannot be read"),
  {
    ...words,
    code: Schema.tag("request-unreadable"),
    /** Where, as in `payload.level`. */
    field: Schema.String,
    reason: Schema.String,
  },
) {}

/** The request can be read, and what it asks for cannot be accepted. */
export class RequestRefused extends HttpApiError.Problem<RequestRefused>()(
  "RequestRefused",
  about("request-refused", 422, "The request was refused"),
  {
    ...words,
    code: Schema.tag("request-refused"),
    field: Schema.String,
    reason: Schema.String,
  },
) {}

export class RunUnknown extends HttpApiError.Problem<RunUnknown>()(
  "RunUnknown",
  about("run-unknown", 404, "There is no such run"),
  { ...words, code: Schema.tag("run-unknown"), field: Schema.String, reason: Schema.String },
) {}

/** The run does not take this order in the state it is in. */
export class OrderRefused extends HttpApiError.Problem<OrderRefused>()(
  "OrderRefused",
  about("order-refused", 409, "The run does not take this order"),
  {
    ...words,
    code: Schema.tag("order-refused"),
    state: StateName,
    /** Where the state alone does not say why. */
    reason: Schema.optionalKey(Schema.String),
  },
) {}

/** Somebody else has changed the run meanwhile. Nothing was done. */
export class RunChanged extends HttpApiError.Problem<RunChanged>()(
  "RunChanged",
  about("run-changed", 409, "The run is at another revision"),
  { ...words, code: Schema.tag("run-changed"), revision: Schema.Int },
) {}

export class ExecutorUnknown extends HttpApiError.Problem<ExecutorUnknown>()(
  "ExecutorUnknown",
  about("executor-unknown", 404, "There is no such executor here"),
  { ...words, code: Schema.tag("executor-unknown"), field: Schema.String, reason: Schema.String },
) {}

export class TaskUnknown extends HttpApiError.Problem<TaskUnknown>()(
  "TaskUnknown",
  about("task-unknown", 404, "There is no such task"),
  {
    ...words,
    code: Schema.tag("task-unknown"),
    field: Schema.String,
    reason: Schema.String,
    /** Names that exist and look alike, the likeliest first. */
    suggestions: Schema.Array(Schema.String),
  },
) {}

export class TriggerUnknown extends HttpApiError.Problem<TriggerUnknown>()(
  "TriggerUnknown",
  about("trigger-unknown", 404, "There is no such trigger"),
  {
    ...words,
    code: Schema.tag("trigger-unknown"),
    field: Schema.String,
    reason: Schema.String,
    suggestions: Schema.Array(Schema.String),
  },
) {}

/** Somebody else has changed the trigger meanwhile. Nothing was done. */
export class TriggerChanged extends HttpApiError.Problem<TriggerChanged>()(
  "TriggerChanged",
  about("trigger-changed", 409, "The trigger is at another revision"),
  {
    ...words,
    code: Schema.tag("trigger-changed"),
    /** The kept one; `0` when there is no such trigger. */
    revision: Schema.Int,
  },
) {}

/** Some slots are filled in, and the trigger is now such that the others cannot be. */
export class BackfillCutOff extends HttpApiError.Problem<BackfillCutOff>()(
  "BackfillCutOff",
  about("backfill-cut-off", 409, "Only some slots are filled in"),
  {
    ...words,
    code: Schema.tag("backfill-cut-off"),
    /** How many are. */
    filled: Schema.Int,
    /** What keeps the others from it. */
    reason: Schema.String,
  },
) {}

/** Nobody holds the lock, or not under the fence that was named. */
export class LockFree extends HttpApiError.Problem<LockFree>()(
  "LockFree",
  about("lock-free", 404, "The lock is not held"),
  { ...words, code: Schema.tag("lock-free"), field: Schema.String, reason: Schema.String },
) {}

export class CalendarUnknown extends HttpApiError.Problem<CalendarUnknown>()(
  "CalendarUnknown",
  about("calendar-unknown", 404, "There is no such calendar"),
  {
    ...words,
    code: Schema.tag("calendar-unknown"),
    field: Schema.String,
    reason: Schema.String,
    suggestions: Schema.Array(Schema.String),
  },
) {}

export class BreakerUnknown extends HttpApiError.Problem<BreakerUnknown>()(
  "BreakerUnknown",
  about("breaker-unknown", 404, "There is no such breaker"),
  {
    ...words,
    code: Schema.tag("breaker-unknown"),
    field: Schema.String,
    reason: Schema.String,
    suggestions: Schema.Array(Schema.String),
  },
) {}

export class GroupUnknown extends HttpApiError.Problem<GroupUnknown>()(
  "GroupUnknown",
  about("group-unknown", 404, "There is no such group"),
  {
    ...words,
    code: Schema.tag("group-unknown"),
    field: Schema.String,
    reason: Schema.String,
    suggestions: Schema.Array(Schema.String),
  },
) {}

/** A trigger names the calendar, so it stays. */
export class CalendarInUse extends HttpApiError.Problem<CalendarInUse>()(
  "CalendarInUse",
  about("calendar-in-use", 409, "A trigger names the calendar"),
  { ...words, code: Schema.tag("calendar-in-use"), field: Schema.String, reason: Schema.String },
) {}

/** The idempotency key was used for another task or payload. */
export class KeyConflict extends HttpApiError.Problem<KeyConflict>()(
  "KeyConflict",
  about("key-conflict", 409, "The idempotency key names another run"),
  {
    ...words,
    code: Schema.tag("key-conflict"),
    field: Schema.String,
    reason: Schema.String,
    run: RunIdFromString,
  },
) {}

/** The idempotency key was used with another order. Nothing was done. */
export class KeyTaken extends HttpApiError.Problem<KeyTaken>()(
  "KeyTaken",
  about("key-taken", 409, "The idempotency key names another order"),
  { ...words, code: Schema.tag("key-taken"), field: Schema.String, reason: Schema.String },
) {}

/** The order that the idempotency key names was begun, and nobody knows how it ended. */
export class OrderUnsettled extends HttpApiError.Problem<OrderUnsettled>()(
  "OrderUnsettled",
  about("order-unsettled", 409, "The order has no answer yet"),
  {
    ...words,
    code: Schema.tag("order-unsettled"),
    field: Schema.String,
    reason: Schema.String,
    forMillis: Schema.Int,
  },
) {}

/** The storage did not answer. What was asked may or may not have been done. */
export class StorageUnavailable extends HttpApiError.Problem<StorageUnavailable>()(
  "StorageUnavailable",
  about("storage-unavailable", 503, "The storage did not answer"),
  { ...words, code: Schema.tag("storage-unavailable") },
) {}

/** So many runs of the task wait that no more are taken in. Nothing was stored. */
export class BacklogFull extends HttpApiError.Problem<BacklogFull>()(
  "BacklogFull",
  about("backlog-full", 429, "The backlog of the task is full"),
  { ...words, code: Schema.tag("backlog-full"), high: Schema.Int, retryAfterMillis: Schema.Int },
) {}

/** The server has as many requests under way as it takes. */
export class ServerBusy extends HttpApiError.Problem<ServerBusy>()(
  "ServerBusy",
  about("server-busy", 429, "The server is busy"),
  { ...words, code: Schema.tag("server-busy") },
) {}

/** A mistake of the server's. Its log tells more under the id. */
export class ServerFailed extends HttpApiError.Problem<ServerFailed>()(
  "ServerFailed",
  about("server-failed", 500, "The server failed"),
  { ...words, code: Schema.tag("server-failed"), id: Schema.String },
) {}

/** No endpoint has this method and path. */
export class RouteUnknown extends HttpApiError.Problem<RouteUnknown>()(
  "RouteUnknown",
  about("route-unknown", 404, "There is no such endpoint"),
  { ...words, code: Schema.tag("route-unknown") },
) {}

/** The body is larger than the server reads. */
export class BodyTooLarge extends HttpApiError.Problem<BodyTooLarge>()(
  "BodyTooLarge",
  about("body-too-large", 413, "The body is too large"),
  { ...words, code: Schema.tag("body-too-large") },
) {}

export class BodyUnsupported extends HttpApiError.Problem<BodyUnsupported>()(
  "BodyUnsupported",
  about("body-unsupported", 415, "The body is not JSON"),
  { ...words, code: Schema.tag("body-unsupported") },
) {}

/** The request names another host: a page in a browser was led here under a foreign name. */
export class HostRefused extends HttpApiError.Problem<HostRefused>()(
  "HostRefused",
  about("host-refused", 421, "The request is for another host"),
  { ...words, code: Schema.tag("host-refused") },
) {}

/** The request comes from a page of another origin. */
export class OriginRefused extends HttpApiError.Problem<OriginRefused>()(
  "OriginRefused",
  about("origin-refused", 403, "The request comes from another origin"),
  { ...words, code: Schema.tag("origin-refused") },
) {}
