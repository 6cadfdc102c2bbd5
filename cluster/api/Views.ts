/**
 * What the API takes and shows. As in the domain, but for three things: a payload is a JSON value
 * and not its text, an instant is an ISO string, and a schedule is written as people say it.
 */
import { Schema } from "effect"
import { By } from "../../core/domain/Asked.ts"
import { RequestKey } from "../../core/domain/IdempotencyKey.ts"
import { BreakerKey, BreakerView } from "../../core/domain/Breaker.ts"
import { Calendar, CalendarName, FreeDay } from "../../core/domain/Calendar.ts"
import { Condition } from "../../core/domain/Condition.ts"
import { Gap, Overlap } from "../../core/domain/Cron.ts"
import { Execution } from "../../core/domain/Execution.ts"
import { ExecutorView, Health, Incarnation } from "../../core/domain/Executor.ts"
import { childrenMax } from "../../core/domain/FanIn.ts"
import { Passing } from "../../core/domain/Following.ts"
import { GroupView } from "../../core/domain/Group.ts"
import { Level } from "../../core/domain/Lane.ts"
import { Fence, Lease, LockKey } from "../../core/domain/Lease.ts"
import { LogLine } from "../../core/domain/LogLine.ts"
import { Namespace } from "../../core/domain/Namespace.ts"
import { PayloadSchemas } from "../../core/domain/PayloadSchema.ts"
import { PoolSizes } from "../../core/domain/PoolSizes.ts"
import { Final, StateName } from "../../core/domain/Run.ts"
import { RunIdFromString } from "../../core/domain/RunId.ts"
import { Failure, Reason, RunHappening, RunView } from "../../core/domain/RunView.ts"
import { FindingKind } from "../../core/domain/SlotAudit.ts"
import * as Tailing from "../../core/domain/Tailing.ts"
import { Policy, TaskDefinition, TaskName } from "../../core/domain/Task.ts"
import { backfillMax } from "../../core/engine/Asking.ts"
import { SlotRecord } from "../../core/services/TriggerStorage.ts"
import { Word } from "../../core/domain/Vocabulary.ts"
import {
  Because,
  LeftOut,
  Misfire,
  Schedule as DomainSchedule,
  TriggerDefinition,
  TriggerName,
  WhileRunning,
} from "../../core/domain/Trigger.ts"
import { KeptProgress } from "../../core/services/LogStorage.ts"

/** A state in our words, or in those of the vocabulary that was asked for. */
export const State = Schema.Union([StateName, Word])
export type State = typeof State.Type

/** `default` unless it is named. */
export const InNamespace = Schema.optionalKey(Namespace)

export const SubmitRun = Schema.Struct({
  namespace: InNamespace,
  task: TaskName,
  /** Any JSON value that fits the task's payload schema. `{}` unless given. */
  payload: Schema.optionalKey(Schema.Json),
  /** Due this long after now. */
  delayMillis: Schema.optionalKey(
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 366 * 86_400_000 })),
  ),
  /** It has expired if it was not begun so long after now. */
  deadlineMillis: Schema.optionalKey(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 366 * 86_400_000 })),
  ),
  /** Cuts it into so many shards, under a parent whose id is answered. */
  shards: Schema.optionalKey(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: childrenMax })),
  ),
  /** At most so many of them at once; all unless named. */
  shardsAtOnce: Schema.optionalKey(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: childrenMax })),
  ),
  /** `0` is urgent, `1` is usual, `2` can wait. Of the task unless named. */
  level: Schema.optionalKey(Level),
  /** Runs with different keys do not block each other. Only the task's own code could derive it. */
  blockingKey: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(512))),
  /** Who asks for it by hand, as is told with the run. */
  by: Schema.optionalKey(By),
  /** The run that it does again. */
  again: Schema.optionalKey(RunIdFromString),
})

export const RunAgain = Schema.Struct({
  /** As it was unless given. */
  payload: Schema.optionalKey(Schema.Json),
  /** Due this long after now. */
  delayMillis: SubmitRun.fields.delayMillis,
  by: Schema.optionalKey(By),
})

const submitted = { run: RunIdFromString, state: StateName }

/** `Discarded` is an answer: another run was under way, and the task's policy is to discard. */
export const SubmittedNew = Schema.Struct({ ...submitted, isNew: Schema.Literal(true) })
/** The idempotency key named this run already. */
export const SubmittedBefore = Schema.Struct({ ...submitted, isNew: Schema.Literal(false) })

const { payload: _payload, result: _result, failure: _failure, state: _state, ...others } =
  RunView.fields
const course = { ...others, state: State }
const { causes: _causes, stack: _stack, ...failure } = Failure.fields

/** A run in a list: without payload, result and stack. */
export const RunSummary = Schema.Struct({
  ...course,
  failure: Schema.optionalKey(Schema.Struct(failure)),
}).annotate({ identifier: "RunSummary" })
export type RunSummary = typeof RunSummary.Type

/** Everything known about a run. */
export const Run = Schema.Struct({
  ...course,
  payload: Schema.Json,
  result: Schema.optionalKey(Schema.Json),
  failure: Schema.optionalKey(Failure),
  /** A trigger made it: by which of its revisions, and how, while the record of that is kept. */
  fired: Schema.optionalKey(Schema.Struct({
    kind: Schema.Literals(["rule", "event", "entry", "manual", "backfill"]),
    revision: Schema.optionalKey(Schema.Int),
    /** The position of the entry in the source that the trigger tails. */
    entry: Schema.optionalKey(Schema.String),
    latenessMillis: Schema.Int,
    by: Schema.optionalKey(Schema.String),
  })),
}).annotate({ identifier: "Run" })
export type Run = typeof Run.Type

export const RunPage = Schema.Struct({
  items: Schema.Array(RunSummary),
  /** Where the next page begins; `null` when this is the last. */
  next: Schema.NullOr(Schema.String),
})

export const Events = Schema.Struct({ items: Schema.Array(RunHappening) })

/** What it has said begins after `logAfter` in the log of the run. */
export const RunExecution = Schema.Struct({ ...Execution.fields, logAfter: Schema.String })
  .annotate({ identifier: "Execution" })
export const Executions = Schema.Struct({ items: Schema.Array(RunExecution) })
export const Why = Reason

/** What a run has said, in order. */
export const Log = Schema.Struct({
  items: Schema.Array(LogLine),
  /** Where further lines begin; `null` when there are none after `after` yet. */
  next: Schema.NullOr(Schema.String),
  /** The run has said more than is kept. */
  isCut: Schema.Boolean,
})

/** The last word of a run's present attempt; `null` when it has said none. */
export const RunProgress = Schema.Struct({ progress: Schema.NullOr(KeptProgress) })

/** The whole of what the pool shall be. */
export const ResizePool = Schema.Struct({ namespace: InNamespace, sizes: PoolSizes })
export const Resized = Schema.Struct({ incarnation: Incarnation, sizes: PoolSizes })
export const Cancelled = Schema.Struct({
  run: RunIdFromString,
  /** `requested`: its holder was asked to stop it. `ended`: it had ended, and not by a cancel. */
  answer: Schema.Literals(["confirmed", "requested", "ended"]),
})

/** `requested`: its holder was asked to put it down. `duplicate`: somebody notified before. */
export const Ordered = Schema.Struct({
  run: RunIdFromString,
  answer: Schema.Literals(["confirmed", "requested", "applied", "duplicate"]),
})

/** What a run is to have otherwise; at least one of `level` and `deadlineMillis`. */
export const ChangeRun = Schema.Struct({
  /** It takes its turn by this one from now on; while somebody holds it, once it waits again. */
  level: Schema.optionalKey(Level),
  /** From now, as long as nobody was granted it; `null`: it has none any more. */
  deadlineMillis: Schema.optionalKey(Schema.NullOr(Schema.Int)),
  /** Only if the run is at this one; one that tells none is at 1. */
  revision: Schema.optionalKey(Schema.Int),
  by: Schema.optionalKey(By),
})

/** How it ended: with `failure` if it failed, else with `result`, or none. */
export const Notify = Schema.Struct({
  result: Schema.optionalKey(Schema.Json),
  failure: Schema.optionalKey(Schema.Struct({
    tag: Schema.String.check(Schema.isMaxLength(256)),
    message: Schema.String.check(Schema.isMaxLength(8192)),
  })),
  /** Who notifies, as is told with the events of the run. */
  by: Schema.optionalKey(By),
})

const jitter = {
  /** The run of a slot is due up to this much later, and before the next slot. */
  jitterMillis: Schema.optionalKey(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 86_400_000 })),
  ),
}
const span = {
  /** No slot before this instant. */
  start: Schema.optionalKey(Schema.DateTimeUtcFromString),
  /** No slot from this instant on. */
  end: Schema.optionalKey(Schema.DateTimeUtcFromString),
  ...jitter,
}

const permanent = DomainSchedule.cases.Permanent.fields

/** Exactly one of `cron`, `everyMillis`, `at`, `after`, `tail` and `permanent`. */
export const Schedule = Schema.Union([
  Schema.Struct({
    /** Five to seven fields, `L`, `W`, `#` and nicknames. */
    cron: Schema.NonEmptyString.check(Schema.isMaxLength(256)),
    /** An IANA time zone; `UTC` unless named. */
    zone: Schema.optionalKey(Schema.NonEmptyString.check(Schema.isMaxLength(64))),
    /** What becomes of a local time that is missing when the clocks go forward. */
    gap: Schema.optionalKey(Gap),
    /** Which of both instants of a local time that comes twice when the clocks go back. */
    overlap: Schema.optionalKey(Overlap),
    /** A calendar of the same namespace. */
    calendar: Schema.optionalKey(CalendarName),
    /** What becomes of a slot whose day is free by the calendar: `skip` unless named. */
    freeDay: Schema.optionalKey(FreeDay),
    ...span,
  }),
  Schema.Struct({
    everyMillis: Schema.Int.check(Schema.isBetween({ minimum: 1000, maximum: 366 * 86_400_000 })),
    /** The instant that slots are counted from: `start`, or when the trigger was stored. */
    anchor: Schema.optionalKey(Schema.DateTimeUtcFromString),
    ...span,
  }),
  Schema.Struct({ at: Schema.DateTimeUtcFromString, ...jitter }),
  Schema.Struct({
    /** A task of the same namespace: each of its runs that ends so makes one. */
    after: TaskName,
    /** `failure`: Failed, TimedOut, Quarantined or Expired. */
    on: Schema.Union([
      Schema.Literals(["success", "failure", "any"]),
      Schema.Array(Final).check(Schema.isMinLength(1)),
    ]),
    /** What its result must be: all of this. */
    when: Schema.optionalKey(Condition),
    /** What its runs get as their payload, instead of the trigger's. */
    passing: Schema.optionalKey(Passing),
  }),
  Schema.Struct({
    /** A table of the database of the server; or the source that a program brings by this name. */
    tail: Tailing.fields.source,
    /** Where it begins: at the `beginning` unless named. */
    from: Schema.optionalKey(Tailing.fields.from),
    /** What an entry must be: all of this. */
    when: Schema.optionalKey(Condition),
    /** What becomes of an entry that cannot be read: `skip` unless named. */
    unreadable: Schema.optionalKey(Tailing.Unreadable),
  }),
  Schema.Struct({
    /** Always one run is alive. What is not named is as usual. */
    permanent: Schema.Struct({
      delayMillis: Schema.optionalKey(permanent.delayMillis),
      growth: Schema.optionalKey(permanent.growth),
      delayMaxMillis: Schema.optionalKey(permanent.delayMaxMillis),
      steadyMillis: Schema.optionalKey(permanent.steadyMillis),
    }),
  }),
], { mode: "oneOf" }).annotate({ identifier: "Schedule" })
export type Schedule = typeof Schedule.Type

/** What is taken away is named as `null`. */
const orNone = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

/** What is named of a schedule. Another kind of schedule begins anew; of the same kind the rest stays. */
export const ChangeSchedule = Schema.Struct({
  cron: Schema.optionalKey(Schema.NonEmptyString.check(Schema.isMaxLength(256))),
  zone: orNone(Schema.NonEmptyString.check(Schema.isMaxLength(64))),
  gap: orNone(Gap),
  overlap: orNone(Overlap),
  calendar: orNone(CalendarName),
  freeDay: orNone(FreeDay),
  everyMillis: Schema.optionalKey(
    Schema.Int.check(Schema.isBetween({ minimum: 1000, maximum: 366 * 86_400_000 })),
  ),
  start: orNone(Schema.DateTimeUtcFromString),
  end: orNone(Schema.DateTimeUtcFromString),
  at: Schema.optionalKey(Schema.DateTimeUtcFromString),
  jitterMillis: orNone(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 86_400_000 }))),
  after: Schema.optionalKey(TaskName),
  on: Schema.optionalKey(Schema.Union([
    Schema.Literals(["success", "failure", "any"]),
    Schema.Array(Final).check(Schema.isMinLength(1)),
  ])),
  when: orNone(Condition),
  passing: orNone(Passing),
  /** A table, or what is named of the one it tails; or a source that a program brings. */
  tail: Schema.optionalKey(Schema.Union([
    Schema.NonEmptyString.check(Schema.isMaxLength(128)),
    Schema.Struct({
      table: Schema.optionalKey(Tailing.Table.fields.table),
      id: Tailing.Table.fields.id,
      transaction: Tailing.Table.fields.transaction,
    }),
  ])),
  from: Schema.optionalKey(Tailing.fields.from),
  unreadable: orNone(Tailing.Unreadable),
  permanent: Schema.optionalKey(Schema.Struct({
    delayMillis: Schema.optionalKey(permanent.delayMillis),
    growth: Schema.optionalKey(permanent.growth),
    delayMaxMillis: Schema.optionalKey(permanent.delayMaxMillis),
    steadyMillis: Schema.optionalKey(permanent.steadyMillis),
  })),
}).annotate({ identifier: "ChangeSchedule" })
export type ChangeSchedule = typeof ChangeSchedule.Type

/** What of a task is kept where nobody has brought it yet, so that its policy holds from the first slot on. */
const introduces = Schema.Struct({
  policy: Policy,
  owner: TaskDefinition.fields.owner,
  purpose: TaskDefinition.fields.purpose,
  payloads: TaskDefinition.fields.payloads,
})

export const PutTrigger = Schema.Struct({
  namespace: InNamespace,
  task: TaskName,
  introduces: Schema.optionalKey(introduces),
  schedule: Schedule,
  payload: Schema.optionalKey(Schema.Json),
  /** What becomes of slots that nobody fired in time. */
  misfire: Schema.optionalKey(Misfire),
  /** A slot later than this has misfired; a minute unless named. */
  graceMillis: TriggerDefinition.fields.graceMillis,
  blockingKey: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(512))),
  /** What becomes of a slot while a run of this trigger is under way: `allow` unless named. */
  whileRunning: Schema.optionalKey(WhileRunning),
  /** Only if the kept trigger is at this revision; `0`: only if there is none. */
  revision: Schema.optionalKey(Schema.Int),
})

/** What is named of a misfire policy. */
export const ChangeMisfire = Schema.Struct({
  _tag: Schema.optionalKey(Schema.Literals(["Skip", "Once", "All"])),
  max: Schema.optionalKey(Misfire.cases.All.fields.max),
  maxAgeMillis: orNone(Misfire.cases.All.fields.maxAgeMillis.schema),
})
export type ChangeMisfire = typeof ChangeMisfire.Type

/** What is not named stays. With a task and a schedule it keeps a new trigger where there is none. */
export const ChangeTrigger = Schema.Struct({
  namespace: InNamespace,
  task: Schema.optionalKey(TaskName),
  schedule: Schema.optionalKey(ChangeSchedule),
  /** As a whole. */
  payload: Schema.optionalKey(Schema.Json),
  misfire: Schema.optionalKey(ChangeMisfire),
  graceMillis: orNone(TriggerDefinition.fields.graceMillis.schema),
  blockingKey: orNone(Schema.String.check(Schema.isMaxLength(512))),
  whileRunning: Schema.optionalKey(WhileRunning),
  /** Only if the kept trigger is at this revision; `0`: only if there is none. */
  revision: Schema.optionalKey(Schema.Int),
})
export type ChangeTrigger = typeof ChangeTrigger.Type

const trigger = {
  namespace: Namespace,
  name: TriggerName,
  task: TaskName,
  schedule: Schedule,
  payload: Schema.Json,
  misfire: Misfire,
  graceMillis: TriggerDefinition.fields.graceMillis,
  blockingKey: Schema.optionalKey(Schema.String),
  whileRunning: Schema.optionalKey(WhileRunning),
  revision: Schema.Int,
  isPaused: Schema.Boolean,
  /** Its first slot without a record; `null` when it has none left. */
  nextSlot: Schema.NullOr(Schema.DateTimeUtcFromString),
  /** How far it has come in the source that it tails; where triggers are read. */
  tail: Schema.optionalKey(Schema.Struct({
    /** All up to here has been taken; absent before the first reading. */
    position: Schema.optionalKey(Schema.String),
    /** Entries that made a run, that none was wanted for, and that could not be read. */
    fired: Schema.Int,
    passed: Schema.Int,
    skipped: Schema.Int,
    /** When it last came further. */
    movedAt: Schema.optionalKey(Schema.DateTimeUtcFromString),
    /** What was there at this instant has been taken: so far it lags behind. */
    upTo: Schema.optionalKey(Schema.DateTimeUtcFromString),
    /** Why it does not come further, and since when. */
    failure: Schema.optionalKey(Schema.String),
    failingSince: Schema.optionalKey(Schema.DateTimeUtcFromString),
  })),
}
export const Trigger = Schema.Struct(trigger).annotate({ identifier: "Trigger" })
export type Trigger = typeof Trigger.Type

/** A trigger as it was put. */
export const KeptTrigger = Schema.Struct({
  ...trigger,
  /** Nobody has brought its task: its slots fire by the usual policy until somebody does. */
  taskUnknown: Schema.optionalKey(Schema.Struct({
    detail: Schema.String,
    remedy: Schema.String,
    /** Names that exist and look alike, the likeliest first. */
    suggestions: Schema.Array(Schema.String),
  })),
}).annotate({ identifier: "KeptTrigger" })
export type KeptTrigger = typeof KeptTrigger.Type

/** How one slot of a trigger ended, or a stretch of them up to `through`. */
export const Slot = Schema.Struct({
  slot: Schema.DateTimeUtcFromString,
  through: Schema.DateTimeUtcFromString,
  outcome: Schema.Literals(["fired", "skipped", "coalesced"]),
  run: Schema.optionalKey(RunIdFromString),
  reason: Schema.optionalKey(Schema.String),
  /** The run whose end was the event, at the instant of the slot. */
  after: Schema.optionalKey(Schema.Struct({ run: RunIdFromString, state: Final })),
  /** The position of the entry in the source that its trigger tails. */
  entry: Schema.optionalKey(Schema.String),
  running: Schema.optionalKey(RunIdFromString),
  latenessMillis: Schema.Int,
  /** Of the trigger when it was recorded. */
  revision: Schema.optionalKey(Schema.Int),
  /** Somebody asked for it; absent when it is of the rule. */
  asked: SlotRecord.fields.asked,
}).annotate({ identifier: "Slot" })
export type Slot = typeof Slot.Type

/** A trigger with its latest slot records, the latest first. */
export const TriggerWithSlots = Schema.Struct({
  ...trigger,
  slots: Schema.Array(Slot),
  /** Who looks after it now; absent where nobody spreads the triggers, and while they pass on. */
  scheduler: Schema.optionalKey(Schema.String),
})
/** By name. */
export const TriggerPage = Schema.Struct({
  items: Schema.Array(Trigger),
  /** Where the next page begins; `null` when this is the last. */
  next: Schema.NullOr(TriggerName),
})

/** A definition that a trigger had; without one it was removed. */
export const TriggerVersion = Schema.Struct({
  revision: Schema.Int,
  /** In force for the slots from here on. */
  since: Schema.DateTimeUtcFromString,
  definition: Schema.optionalKey(Schema.Struct({
    task: TaskName,
    schedule: Schedule,
    payload: Schema.Json,
    misfire: Misfire,
    graceMillis: TriggerDefinition.fields.graceMillis,
    blockingKey: Schema.optionalKey(Schema.String),
    whileRunning: Schema.optionalKey(WhileRunning),
  })),
}).annotate({ identifier: "TriggerVersion" })
export type TriggerVersion = typeof TriggerVersion.Type
export const TriggerVersions = Schema.Struct({ items: Schema.Array(TriggerVersion) })

export const FireTrigger = Schema.Struct({
  namespace: InNamespace,
  /** Instead of the payload of the trigger. */
  payload: Schema.optionalKey(Schema.Json),
  /** Who asks, as is shown with the slot. */
  by: Schema.optionalKey(By),
})

export const FiredNew = Schema.Struct({ run: RunIdFromString, isNew: Schema.Literal(true) })
/** The idempotency key named this run already. */
export const FiredBefore = Schema.Struct({ run: RunIdFromString, isNew: Schema.Literal(false) })

/** Fills in the slots of [`from`, `to`) that have not fired. */
export const BackfillTrigger = Schema.Struct({
  namespace: InNamespace,
  from: Schema.DateTimeUtcFromString,
  /** And before this instant; now unless named. */
  to: Schema.optionalKey(Schema.DateTimeUtcFromString),
  /** Refused if there are more slots; 100 unless named. */
  max: Schema.optionalKey(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: backfillMax })),
  ),
  /** The runs are due so far apart; all at once unless named. */
  paceMillis: Schema.optionalKey(
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 86_400_000 })),
  ),
  /** What its runs are cancelled by; a new one unless named. */
  request: Schema.optionalKey(RequestKey),
  by: Schema.optionalKey(By),
  /** Only says what would be done. */
  isDry: Schema.optionalKey(Schema.Boolean),
})

export const Backfilled = Schema.Struct({
  request: Schema.String,
  slots: Schema.Array(Schema.Struct({
    slot: Schema.DateTimeUtcFromString,
    /** `known`: it had fired, or was filled in. `pending`: the trigger will fire it itself. */
    answer: Schema.Literals(["fired", "would fire", "known", "pending"]),
    run: Schema.optionalKey(RunIdFromString),
  })),
}).annotate({ identifier: "Backfilled" })
export type Backfilled = typeof Backfilled.Type

/** Of how many runs of a backfill: cancelled, asked to stop, had ended. */
export const BackfillCancelled = Schema.Struct({
  confirmed: Schema.Int,
  requested: Schema.Int,
  ended: Schema.Int,
})

/** What is wrong with a slot of a trigger, or a stretch of them up to `through`. */
export const SlotFinding = Schema.Struct({
  trigger: TriggerName,
  kind: FindingKind,
  slot: Schema.DateTimeUtcFromString,
  through: Schema.DateTimeUtcFromString,
  foundAt: Schema.DateTimeUtcFromString,
}).annotate({ identifier: "SlotFinding" })
export type SlotFinding = typeof SlotFinding.Type

export const SlotAudit = Schema.Struct({
  /** The storage clock. */
  now: Schema.DateTimeUtcFromString,
  /** Slots before this instant were judged. */
  judgedUpTo: Schema.DateTimeUtcFromString,
  /** The latest first. */
  findings: Schema.Array(SlotFinding),
}).annotate({ identifier: "SlotAudit" })
export type SlotAudit = typeof SlotAudit.Type

const { name: _name, namespace: _namespace, ...days } = Calendar.fields

/** All may be left out: Saturday and Sunday are free then, and no other day is. */
export const CalendarDays = Schema.Struct({
  rest: Schema.optionalKey(days.rest),
  holidays: Schema.optionalKey(days.holidays),
  workdays: Schema.optionalKey(days.workdays),
})

export const PutCalendar = Schema.Struct({ namespace: InNamespace, ...CalendarDays.fields })

export const CalendarView = Schema.Struct({ ...Calendar.fields, revision: Schema.Int })
  .annotate({ identifier: "Calendar" })
export type CalendarView = typeof CalendarView.Type

const listedCalendar = { name: CalendarName, revision: Schema.Int }
export const ListedCalendar = Schema.Struct(listedCalendar)
export const CalendarList = Schema.Struct({ items: Schema.Array(ListedCalendar) })

export const previewMax = 1000

export const PreviewTrigger = Schema.Struct({
  namespace: InNamespace,
  schedule: Schedule,
  /** Of the trigger; `{}` unless given. */
  payload: Schema.optionalKey(Schema.Json),
  /** Instead of the kept calendar that the schedule names. */
  calendar: Schema.optionalKey(CalendarDays),
  /** Of the trigger: its jitter depends on it. */
  name: Schema.optionalKey(TriggerName),
  /** 10 unless named. */
  count: Schema.optionalKey(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: previewMax })),
  ),
  /** Slots after this instant; after now unless named. */
  from: Schema.optionalKey(Schema.DateTimeUtcFromString),
  /** For a schedule that follows a task: how a run of that has ended, say. */
  ended: Schema.optionalKey(Schema.Struct({
    state: Final,
    result: Schema.optionalKey(Schema.Json),
  })),
})

export const Preview = Schema.Struct({
  fires: Schema.Array(Schema.Struct({
    at: Schema.DateTimeUtcFromString,
    /** The same instant on the clocks of the schedule's zone, with their distance from UTC. */
    local: Schema.String,
    /** When its run is due: `at`, but for the jitter. */
    due: Schema.DateTimeUtcFromString,
    /** Why it is then, where the schedule alone does not say so. */
    because: Schema.Array(Because),
    /** What would have been due since the fire before, but for a rule. */
    leftOut: Schema.Array(LeftOut),
  })),
  /** There are no more than these. */
  isComplete: Schema.Boolean,
  /** What would become of `ended`: a run with this payload, or none for this reason. */
  followed: Schema.optionalKey(Schema.Union([
    Schema.Struct({ payload: Schema.Json }),
    Schema.Struct({ reason: Schema.String }),
  ])),
})
export type Preview = typeof Preview.Type

export const Breaker = Schema.toCodecJson(BreakerView).annotate({ identifier: "Breaker" })
export type Breaker = typeof Breaker.Type
export const BreakerList = Schema.Struct({ items: Schema.Array(Breaker) })

const whole = Schema.optionalKey(Schema.Int)

/** What is not named is as usual. The bounds of each are told by who refuses it. */
export const PutBreaker = Schema.Struct({
  namespace: InNamespace,
  failurePercent: whole,
  badInARow: whole,
  callsMin: whole,
  slowMillis: whole,
  windowMillis: whole,
  openMillis: whole,
  probes: whole,
  probeMillis: whole,
})

/** Who gives an order, and why. The bounds of both are told by who refuses them. */
const saidBy = { by: Schema.optionalKey(Schema.String), note: Schema.optionalKey(Schema.String) }

export const OrderBreaker = Schema.Struct({
  namespace: InNamespace,
  /** `auto`: by its calls, as it does without an order. */
  to: Schema.Literals(["open", "closed", "auto"]),
  ...saidBy,
  /** For this key alone. */
  key: Schema.optionalKey(BreakerKey),
})

export const Group = Schema.toCodecJson(GroupView).annotate({ identifier: "Group" })
export type Group = typeof Group.Type
export const GroupList = Schema.Struct({ items: Schema.Array(Group) })

/** Runs per state. Past 10,000 in one state a count may be an estimate. */
const RunCounts = Schema.Union([
  Schema.Record(StateName, Schema.Int),
  /** Per word of the vocabulary that was asked for. */
  Schema.Record(Schema.String, Schema.Int),
])

export const CountedGroup = Schema.toCodecJson(
  Schema.Struct({ ...GroupView.fields, runs: RunCounts }),
).annotate({ identifier: "CountedGroup" })
export type CountedGroup = typeof CountedGroup.Type

export const OrderGroup = Schema.Struct({
  namespace: InNamespace,
  ...saidBy,
})

export const CancelGroup = Schema.Struct({
  namespace: InNamespace,
  by: saidBy.by,
  /** Only runs before this one: the `next` of the answer before. */
  before: Schema.optionalKey(RunIdFromString),
})

/** How many were cancelled, and how many their executors were asked to stop. */
export const GroupCancelled = Schema.Struct({
  confirmed: Schema.Int,
  requested: Schema.Int,
  /** There are others before this one. */
  next: Schema.optionalKey(RunIdFromString),
})

/** Whether a live executor carries it out. */
export const TaskState = Schema.Literals(["served", "unserved"])
/** `last`: what ran latest first; `duration`: what took longest; `outcome`: what went wrong. */
export const TaskOrder = Schema.Literals(["name", "last", "duration", "outcome"])
export type TaskOrder = typeof TaskOrder.Type

export const Task = Schema.Struct({
  namespace: Namespace,
  name: TaskName,
  policy: Policy,
  owner: Schema.optionalKey(Schema.String),
  purpose: Schema.optionalKey(Schema.String),
  /**
   * Of one task alone, not of a list: how its payloads look, as JSON Schema, one for each version, the
   * present one last; `null`: nothing is said of it.
   */
  payloads: Schema.optionalKey(PayloadSchemas),
  /** Those its handler has; not there while no executor has said. */
  hooks: TaskDefinition.fields.hooks,
  revision: Schema.Int,
  state: TaskState,
  /** The run of it that was carried out and ended last. */
  last: Schema.optionalKey(Schema.Struct({
    run: RunIdFromString,
    /** `TimedOut` among them. */
    state: Final,
    attempt: Schema.Int,
    /** Of its last attempt. */
    startedAt: Schema.DateTimeUtcFromString,
    finishedAt: Schema.DateTimeUtcFromString,
    durationMillis: Schema.Int,
    /** The beginning of its result as JSON text, or of why it failed. */
    said: Schema.optionalKey(Schema.String),
  })),
}).annotate({ identifier: "Task" })
export type Task = typeof Task.Type
export const TaskList = Schema.Struct({ items: Schema.Array(Task), total: Schema.Int })

export const Executor = Schema.Struct({
  ...ExecutorView.fields,
  health: Health,
  /** Since it beat last, by the storage clock. */
  beatAgeMillis: Schema.Int,
  /** Runs that were placed with it and wait for its places, counted up to 10,000. */
  waiting: Schema.Int,
}).annotate({ identifier: "Executor" })
export type Executor = typeof Executor.Type
export const ExecutorList = Schema.Struct({ items: Schema.Array(Executor) })

/** A lease that is live. */
export const HeldLock = Schema.Struct({
  ...Lease.fields,
  /** Unless it is renewed. */
  endsInMillis: Schema.Int,
}).annotate({ identifier: "HeldLock" })
export type HeldLock = typeof HeldLock.Type

export const LockList = Schema.Struct({
  /** Where they are kept. */
  technology: Schema.String,
  /** `advisory`: a crash may forget leases. */
  fences: Schema.Literals(["durable", "advisory"]),
  items: Schema.Array(HeldLock),
})

export const ReleaseLock = Schema.Struct({
  key: LockKey,
  /** Only if it is still held under this one. */
  fence: Schema.optionalKey(Fence),
})

/** A server process that places runs and fires triggers. */
export const SchedulerView = Schema.Struct({
  name: Schema.String,
  /** The one that answered. */
  isSelf: Schema.Boolean,
  isHealthy: Schema.Boolean,
  /** The duties it holds, as it has said; absent where nobody spreads them. */
  duties: Schema.optionalKey(Schema.Array(Schema.String)),
}).annotate({ identifier: "Scheduler" })
export type SchedulerView = typeof SchedulerView.Type

export const Status = Schema.Struct({
  namespace: Namespace,
  /** The storage clock. */
  now: Schema.DateTimeUtcFromString,
  storage: Schema.String,
  /** Of the tz data that the server reads zones by. */
  tzdata: Schema.optionalKey(Schema.String),
  runs: RunCounts,
  executors: Schema.Struct({
    live: Schema.Int,
    draining: Schema.Int,
    lost: Schema.Int,
    left: Schema.Int,
    /** Places of those that are live. */
    capacity: Schema.Int,
    held: Schema.Int,
  }),
  schedulers: Schema.Array(SchedulerView),
  /** What the server that answers should do again and again, and does not come round to. */
  stalled: Schema.Array(Schema.String),
})
export type Status = typeof Status.Type
