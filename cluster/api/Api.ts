/**
 * The REST API, as data: the server implements it, `ApiClient` calls it, OpenAPI describes it.
 *
 * Whatever waits is not here. Every list has a bound, and every name with a `/` in it is written
 * as `%2F` in a path.
 */
import { Schema } from "effect"
import {
  HttpApi,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApiMiddleware,
  HttpApiSchema,
  HttpApiSecurity,
  OpenApi,
} from "effect/http-api"
import { By, Words } from "../../core/domain/Asked.ts"
import { BreakerKey } from "../../core/domain/Breaker.ts"
import { Incarnation } from "../../core/domain/Executor.ts"
import { lengthMax, RequestKey } from "../../core/domain/IdempotencyKey.ts"
import * as Objection from "../../core/domain/Objection.ts"
import { RunIdFromString } from "../../core/domain/RunId.ts"
import { TaskName } from "../../core/domain/Task.ts"
import { TriggerName } from "../../core/domain/Trigger.ts"
import { Vocabulary } from "../../core/domain/Vocabulary.ts"
import { KeyHeader } from "./KeyHeader.ts"
import * as Problems from "./Problems.ts"
import * as Views from "./Views.ts"

export const prefix = "/api/v1"
export const openapiPath = "/api/openapi.json"
export const docsPath = "/api/docs"
export const listMax = 500

/** Requires one of the server's tokens. */
export class Authorization extends HttpApiMiddleware.Service<Authorization>()(
  "belfry/cluster/api/Authorization",
  {
    error: Problems.TokenRefused,
    security: {
      bearer: HttpApiSecurity.bearer,
    },
    requiredForClient: true,
  },
) {}

/** Turns what cannot be read, and what fails unforeseen, into problems. */
export class Courtesy extends HttpApiMiddleware.Service<Courtesy>()("belfry/cluster/api/Courtesy", {
  error: [
    Problems.RequestUnreadable,
    Problems.HostRefused,
    Problems.OriginRefused,
    Problems.BodyTooLarge,
    Problems.BodyUnsupported,
    Problems.ServerBusy,
    Problems.ServerFailed,
  ],
}) {}

/** Carries an order out once that is given under an `Idempotency-Key`. */
export class Once extends HttpApiMiddleware.Service<Once>()("belfry/cluster/api/Once", {
  error: [
    Problems.KeyTaken,
    Problems.OrderUnsettled,
    Problems.RequestRefused,
    Problems.ServerBusy,
    Problems.StorageUnavailable,
  ],
}) {}

const idempotencyKey = {
  name: "idempotency-key",
  in: "header",
  required: false,
  description:
    "Given again under the same key, the order is not carried out again, and is answered " +
    "as it was then.",
  schema: { type: "string", minLength: 1, maxLength: lengthMax },
}

/** Changes something, and may be given under a key. */
const order = <E>(endpoint: E): HttpApiEndpoint.AddMiddleware<E, Once> =>
  (endpoint as HttpApiEndpoint.Top).middleware(Once).annotate(
    OpenApi.Transform,
    (operation) => ({
      ...operation,
      parameters: [...operation["parameters"], idempotencyKey],
    }),
  ) as never

const inNamespace = { namespace: Views.InNamespace }
/** States are told, and asked for, in these words; in ours unless it is named. */
const inVocabulary = { vocabulary: Schema.optionalKey(Vocabulary) }
const named = { name: Schema.NonEmptyString.check(Schema.isMaxLength(127)) }
const ofRun = { id: RunIdFromString }
const runErrors = [Problems.RunUnknown, Problems.StorageUnavailable] as const
/** Who gives the order, as is told with the events of the run. */
const orderedBy = { by: Schema.optionalKey(By) }
const orderErrors = [...runErrors, Problems.OrderRefused] as const
const triggerErrors = [Problems.TriggerUnknown, Problems.StorageUnavailable] as const

const limit = Schema.optionalKey(
  Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: listMax })),
)

export class Runs extends HttpApiGroup.make("runs").add(
  HttpApiEndpoint.post("submit", "/runs", {
    headers: {
      /** A second submit with this key answers with the first one's run. */
      "idempotency-key": Schema.optionalKey(KeyHeader),
    },
    payload: Views.SubmitRun,
    success: [
      Views.SubmittedNew.pipe(HttpApiSchema.status(201)),
      Views.SubmittedBefore.pipe(HttpApiSchema.status(200)),
    ],
    error: [
      Problems.TaskUnknown,
      Problems.KeyConflict,
      Problems.BacklogFull,
      Problems.RequestRefused,
      Problems.StorageUnavailable,
    ],
  }),
  /** A new run of the same task, which says whose run it does again. */
  HttpApiEndpoint.post("again", "/runs/:id/again", {
    params: ofRun,
    headers: { "idempotency-key": Schema.optionalKey(KeyHeader) },
    payload: Views.RunAgain,
    success: [
      Views.SubmittedNew.pipe(HttpApiSchema.status(201)),
      Views.SubmittedBefore.pipe(HttpApiSchema.status(200)),
    ],
    error: [
      ...runErrors,
      Problems.KeyConflict,
      Problems.BacklogFull,
      Problems.RequestRefused,
    ],
  }),
  HttpApiEndpoint.get("list", "/runs", {
    query: {
      ...inNamespace,
      task: Schema.optionalKey(TaskName),
      /** May be given several times. */
      state: Schema.optionalKey(Schema.Array(Views.State)),
      ...inVocabulary,
      /** Only the children of this run. */
      parent: Schema.optionalKey(RunIdFromString),
      /** 50 unless named. */
      limit,
      /** As `next` of the page before. */
      cursor: Schema.optionalKey(RunIdFromString),
    },
    success: Views.RunPage,
    error: [Problems.RequestRefused, Problems.StorageUnavailable],
  }),
  HttpApiEndpoint.get("get", "/runs/:id", {
    params: ofRun,
    query: inVocabulary,
    success: Views.Run,
    error: runErrors,
  }),
  HttpApiEndpoint.get("events", "/runs/:id/events", {
    params: ofRun,
    query: inVocabulary,
    success: Views.Events,
    error: runErrors,
  }),
  HttpApiEndpoint.get("executions", "/runs/:id/executions", {
    params: ofRun,
    success: Views.Executions,
    error: runErrors,
  }),
  HttpApiEndpoint.get("why", "/runs/:id/why", {
    params: ofRun,
    success: Views.Why,
    error: runErrors,
  }),
  HttpApiEndpoint.get("log", "/runs/:id/log", {
    params: ofRun,
    query: {
      /** As `next` of the page before: only lines after that. */
      after: Schema.optionalKey(Schema.String.check(Schema.isPattern(/^\d{1,10}\.\d{1,10}$/))),
      /** 200 unless named. */
      limit,
    },
    success: Views.Log,
    error: runErrors,
  }),
  HttpApiEndpoint.get("progress", "/runs/:id/progress", {
    params: ofRun,
    success: Views.RunProgress,
    error: runErrors,
  }),
  order(HttpApiEndpoint.post("cancel", "/runs/:id/cancel", {
    params: ofRun,
    query: orderedBy,
    success: Views.Cancelled,
    error: runErrors,
  })),
  order(HttpApiEndpoint.post("suspend", "/runs/:id/suspend", {
    params: ofRun,
    query: orderedBy,
    success: Views.Ordered,
    error: orderErrors,
  })),
  order(HttpApiEndpoint.post("resume", "/runs/:id/resume", {
    params: ofRun,
    query: orderedBy,
    success: Views.Ordered,
    error: orderErrors,
  })),
  order(HttpApiEndpoint.patch("change", "/runs/:id", {
    params: ofRun,
    payload: Views.ChangeRun,
    success: Views.Ordered,
    error: [...orderErrors, Problems.RunChanged, Problems.RequestRefused],
  })),
  order(HttpApiEndpoint.post("notify", "/runs/:id/notify", {
    params: ofRun,
    payload: Views.Notify,
    success: Views.Ordered,
    error: [...orderErrors, Problems.RequestRefused],
  })),
  order(HttpApiEndpoint.post("revive", "/runs/:id/revive", {
    params: ofRun,
    query: orderedBy,
    success: Views.Ordered,
    error: orderErrors,
  })),
  order(HttpApiEndpoint.post("rollback", "/runs/:id/rollback", {
    params: ofRun,
    query: Words.fields,
    success: Views.Ordered,
    error: orderErrors,
  })),
).annotateMerge(OpenApi.annotations({ description: "Occurrences of tasks" })) {}

export class Triggers extends HttpApiGroup.make("triggers").add(
  HttpApiEndpoint.get("list", "/triggers", {
    query: {
      ...inNamespace,
      /** 50 unless named. */
      limit,
      /** As `next` of the page before. */
      cursor: Schema.optionalKey(TriggerName),
    },
    success: Views.TriggerPage,
    error: Problems.StorageUnavailable,
  }),
  HttpApiEndpoint.post("preview", "/triggers/preview", {
    payload: Views.PreviewTrigger,
    success: Views.Preview,
    error: [Problems.RequestRefused, Problems.StorageUnavailable],
  }),
  HttpApiEndpoint.get("get", "/triggers/:name", {
    params: named,
    query: { ...inNamespace, slots: limit },
    success: Views.TriggerWithSlots,
    error: triggerErrors,
  }),
  order(HttpApiEndpoint.put("put", "/triggers/:name", {
    params: named,
    payload: Views.PutTrigger,
    success: Views.KeptTrigger,
    error: [Problems.RequestRefused, Problems.TriggerChanged, Problems.StorageUnavailable],
  })),
  /** Changes what is named. */
  order(HttpApiEndpoint.patch("change", "/triggers/:name", {
    params: named,
    payload: Views.ChangeTrigger,
    success: Views.KeptTrigger,
    error: [...triggerErrors, Problems.RequestRefused, Problems.TriggerChanged],
  })),
  HttpApiEndpoint.get("versions", "/triggers/:name/versions", {
    params: named,
    query: { ...inNamespace, limit },
    success: Views.TriggerVersions,
    error: triggerErrors,
  }),
  HttpApiEndpoint.post("fire", "/triggers/:name/fire", {
    params: named,
    headers: {
      /** A second request with this key answers with the first one's run. */
      "idempotency-key": Schema.optionalKey(KeyHeader),
    },
    payload: Views.FireTrigger,
    success: [
      Views.FiredNew.pipe(HttpApiSchema.status(201)),
      Views.FiredBefore.pipe(HttpApiSchema.status(200)),
    ],
    error: [...triggerErrors, Problems.RequestRefused, Problems.KeyConflict],
  }),
  order(HttpApiEndpoint.post("backfill", "/triggers/:name/backfills", {
    params: named,
    payload: Views.BackfillTrigger,
    success: Views.Backfilled,
    error: [...triggerErrors, Problems.RequestRefused, Problems.BackfillCutOff],
  })),
  order(HttpApiEndpoint.post("cancelBackfill", "/triggers/:name/backfills/:request/cancel", {
    params: { ...named, request: RequestKey },
    query: { ...inNamespace, ...orderedBy },
    success: Views.BackfillCancelled,
    error: [...triggerErrors, Problems.RequestRefused],
  })),
  HttpApiEndpoint.get("audit", "/slots/audit", {
    query: { ...inNamespace, limit },
    success: Views.SlotAudit,
    error: Problems.StorageUnavailable,
  }),
  order(HttpApiEndpoint.delete("remove", "/triggers/:name", {
    params: named,
    query: inNamespace,
    success: HttpApiSchema.NoContent,
    error: triggerErrors,
  })),
  order(HttpApiEndpoint.post("pause", "/triggers/:name/pause", {
    params: named,
    query: inNamespace,
    success: Views.Trigger,
    error: triggerErrors,
  })),
  order(HttpApiEndpoint.post("resume", "/triggers/:name/resume", {
    params: named,
    query: inNamespace,
    success: Views.Trigger,
    error: triggerErrors,
  })),
).annotateMerge(OpenApi.annotations({ description: "Rules that say when a task is due" })) {}

const calendarErrors = [Problems.CalendarUnknown, Problems.StorageUnavailable] as const

export class Calendars extends HttpApiGroup.make("calendars").add(
  HttpApiEndpoint.get("list", "/calendars", {
    query: inNamespace,
    success: Views.CalendarList,
    error: Problems.StorageUnavailable,
  }),
  HttpApiEndpoint.get("get", "/calendars/:name", {
    params: named,
    query: inNamespace,
    success: Views.CalendarView,
    error: calendarErrors,
  }),
  order(HttpApiEndpoint.put("put", "/calendars/:name", {
    params: named,
    payload: Views.PutCalendar,
    success: Views.CalendarView,
    error: [Problems.RequestRefused, Problems.StorageUnavailable],
  })),
  order(HttpApiEndpoint.delete("remove", "/calendars/:name", {
    params: named,
    query: inNamespace,
    success: HttpApiSchema.NoContent,
    error: [...calendarErrors, Problems.CalendarInUse],
  })),
).annotateMerge(OpenApi.annotations({ description: "Which days are workdays" })) {}

const breakerErrors = [Problems.BreakerUnknown, Problems.StorageUnavailable] as const

export class Breakers extends HttpApiGroup.make("breakers").add(
  HttpApiEndpoint.get("list", "/breakers", {
    query: inNamespace,
    success: Views.BreakerList,
    error: Problems.StorageUnavailable,
  }),
  HttpApiEndpoint.get("get", "/breakers/:name", {
    params: named,
    query: { ...inNamespace, key: Schema.optionalKey(BreakerKey) },
    success: Views.Breaker,
    error: breakerErrors,
  }),
  /** Those of which something bad is known, or that have an order of their own. */
  HttpApiEndpoint.get("keys", "/breakers/:name/keys", {
    params: named,
    query: inNamespace,
    success: Views.BreakerList,
    error: breakerErrors,
  }),
  order(HttpApiEndpoint.put("put", "/breakers/:name", {
    params: named,
    payload: Views.PutBreaker,
    success: Views.Breaker,
    error: [Problems.RequestRefused, Problems.StorageUnavailable],
  })),
  /** Opens or closes it by hand, or takes the order back. */
  order(HttpApiEndpoint.post("order", "/breakers/:name/order", {
    params: named,
    payload: Views.OrderBreaker,
    success: Views.Breaker,
    error: [...breakerErrors, Problems.RequestRefused],
  })),
).annotateMerge(OpenApi.annotations({ description: "What holds runs while calls fail" })) {}

const groupErrors = [Problems.GroupUnknown, Problems.StorageUnavailable] as const

export class Groups extends HttpApiGroup.make("groups").add(
  HttpApiEndpoint.get("list", "/groups", {
    query: inNamespace,
    success: Views.GroupList,
    error: Problems.StorageUnavailable,
  }),
  HttpApiEndpoint.get("get", "/groups/:name", {
    params: named,
    query: { ...inNamespace, ...inVocabulary },
    success: Views.CountedGroup,
    error: groupErrors,
  }),
  order(HttpApiEndpoint.post("pause", "/groups/:name/pause", {
    params: named,
    payload: Views.OrderGroup,
    success: Views.Group,
    error: [...groupErrors, Problems.RequestRefused],
  })),
  order(HttpApiEndpoint.post("resume", "/groups/:name/resume", {
    params: named,
    payload: Views.OrderGroup,
    success: Views.Group,
    error: [...groupErrors, Problems.RequestRefused],
  })),
  /** Some of its runs, the latest first: with `next`, ask again for those before it. */
  order(HttpApiEndpoint.post("cancel", "/groups/:name/cancel", {
    params: named,
    payload: Views.CancelGroup,
    success: Views.GroupCancelled,
    error: [...groupErrors, Problems.RequestRefused],
  })),
).annotateMerge(OpenApi.annotations({ description: "Tasks that are looked after as one" })) {}

export class Tasks extends HttpApiGroup.make("tasks").add(
  HttpApiEndpoint.get("list", "/tasks", {
    query: {
      ...inNamespace,
      owner: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(256))),
      state: Schema.optionalKey(Views.TaskState),
      /** `name` unless given. */
      sort: Schema.optionalKey(Views.TaskOrder),
    },
    success: Views.TaskList,
    error: Problems.StorageUnavailable,
  }),
  HttpApiEndpoint.get("get", "/tasks/:name", {
    params: named,
    query: inNamespace,
    success: Views.Task,
    error: [Problems.TaskUnknown, Problems.StorageUnavailable],
  }),
).annotateMerge(
  OpenApi.annotations({ description: "Definitions that executors and schedules brought" }),
) {}

export class Executors extends HttpApiGroup.make("executors").add(
  HttpApiEndpoint.get("list", "/executors", {
    query: inNamespace,
    success: Views.ExecutorList,
    error: Problems.StorageUnavailable,
  }),
  /** Takes hold with the executor's next beat, and for as long as it lives. */
  order(HttpApiEndpoint.put("resize", "/executors/:incarnation/pool", {
    params: { incarnation: Schema.FiniteFromString.pipe(Schema.decodeTo(Incarnation)) },
    payload: Views.ResizePool,
    success: Views.Resized,
    error: [
      Problems.ExecutorUnknown,
      Problems.RequestRefused,
      Problems.StorageUnavailable,
    ],
  })),
).annotateMerge(OpenApi.annotations({ description: "Processes that carry tasks out" })) {}

export class Locks extends HttpApiGroup.make("locks").add(
  HttpApiEndpoint.get("list", "/locks", {
    query: {
      /** Of the keys. */
      prefix: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(512))),
      /** 50 unless named. */
      limit,
    },
    success: Views.LockList,
    error: Problems.StorageUnavailable,
  }),
  /** Frees a lock in its holder's stead, who finds out with its next renewal. */
  order(HttpApiEndpoint.post("release", "/locks/release", {
    payload: Views.ReleaseLock,
    success: Views.HeldLock,
    error: [Problems.LockFree, Problems.StorageUnavailable],
  })),
).annotateMerge(OpenApi.annotations({ description: "Named locks, and who holds them" })) {}

export class System extends HttpApiGroup.make("system").add(
  HttpApiEndpoint.get("status", "/status", {
    query: { ...inNamespace, ...inVocabulary },
    success: Views.Status,
    error: Problems.StorageUnavailable,
  }),
).annotateMerge(OpenApi.annotations({ description: "How it goes" })) {}

export class Api extends HttpApi.make("belfry")
  .add(Runs, Triggers, Calendars, Breakers, Groups, Tasks, Executors, Locks, System)
  .prefix(prefix)
  .middleware(Courtesy)
  .middleware(Authorization)
  // What nobody would read is refused: a word that is spelled otherwise would be lost in silence.
  .annotate(HttpApi.PayloadParseOptions, Objection.strictly)
  .annotate(HttpApi.QueryParseOptions, Objection.strictly)
  .annotateMerge(OpenApi.annotations({
    title: "Belfry",
    version: "1",
    description: "A distributed task scheduler: submit runs, keep triggers, see what became of it.",
  })) {}
