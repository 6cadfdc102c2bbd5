import * as Blocking from "../../../core/domain/Blocking.ts"
import { Refused } from "../../../core/domain/Refused.ts"
import * as Run from "../../../core/domain/Run.ts"
import type { Counts, Of, StateRecord } from "../../../core/domain/StateRecord.ts"
import * as Tailing from "../../../core/domain/Tailing.ts"
import { counted, notEmpty } from "../../../core/domain/Transfer.ts"
import * as Ends from "../../../core/domain/Ends.ts"
import * as Outbox from "../../../core/domain/Outbox.ts"
import * as Trigger from "../../../core/domain/Trigger.ts"
import { Connection } from "../Connection.ts"
import { Names } from "../Names.ts"
import { used } from "../SqliteHistory.ts"
import { askedKinds } from "../SqliteTriggers.ts"
import { calendar, task, trigger } from "./definitions.ts"

/** Records as rows of a SQLite file, within one transaction. */
export class Import {
  counts: Counts = {}
  private readonly at: Connection
  private readonly names: Names
  /** How many runs of a kind are in a state. */
  private readonly tallies = new Map<number, Map<Run.StateName, number>>()

  constructor(at: Connection, names: Names) {
    this.at = at
    this.names = names
  }

  refusal(): Refused | undefined {
    const kept = ["run", "task", "calendar", "trigger", "executor", "state", "permit", "lock"]
      .find((table) => this.at.get(`SELECT 1 FROM ${table} LIMIT 1`) !== undefined)
    return kept === undefined ? undefined : notEmpty(`${kept}s`)
  }

  add(records: ReadonlyArray<StateRecord>, now: number): void {
    for (const record of records) this.addOne(record, now)
    this.counts = counted(this.counts, records)
  }

  /** What is done last: who was here has a whole ttl from now. */
  finish(now: number): void {
    for (const [kind, states] of this.tallies) {
      for (const [state, count] of states) {
        this.at.run("INSERT INTO tally VALUES (?, ?, ?)", kind, state, count)
      }
    }
    this.at.run(
      `UPDATE executor SET beat_at = ?1, ends_at = ?1 + ttl_millis
       WHERE standing IN ('live', 'draining')`,
      now,
    )
  }

  private insert(
    table: string,
    row: Readonly<Record<string, string | number | null | undefined>>,
  ): void {
    const columns = Object.keys(row)
    this.at.run(
      `INSERT INTO ${table} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`,
      ...Object.values(row).map((value) => value ?? null),
    )
  }

  private addOne(record: StateRecord, now: number): void {
    switch (record._tag) {
      case "Marks":
        return this.mark(record)
      case "Task": {
        const { definition, revision } = record
        const { name, namespace } = definition
        return this.insert("task", {
          namespace,
          name,
          definition: task.encode(definition),
          revision,
        })
      }
      case "Calendar": {
        const { name, namespace } = record.calendar
        return this.insert("calendar", {
          namespace,
          name,
          definition: calendar.encode(record.calendar),
          revision: record.revision,
        })
      }
      case "Executor":
        return this.addExecutor(record)
      case "Trigger":
        return this.addTrigger(record)
      case "Slot":
        return this.insert("slot", {
          trigger: record.trigger,
          slot: record.slot,
          through: record.through,
          outcome: record.outcome === "used" ? "skipped" : record.outcome,
          run: record.run,
          reason: record.outcome === "used" ? used : record.reason,
          lateness_millis: record.latenessMillis,
          revision: record.revision,
          running: record.running,
        })
      case "TriggerVersion":
        return this.insert("trigger_version", {
          trigger: record.trigger,
          revision: record.revision,
          since: record.since,
          definition: record.definition && trigger.encode(record.definition),
          calendar: record.calendar && calendar.encode(record.calendar),
        })
      case "Asked":
        return this.insert("asked", {
          trigger: record.trigger,
          kind: askedKinds.indexOf(record.kind),
          key: record.kind === "manual" ? record.request : `${record.slot}`,
          slot: record.slot,
          run: record.run,
          revision: record.revision,
          at: record.at,
          request: record.request,
          asked_by: record.by,
        })
      case "Run":
        return this.addRun(record)
      case "State": {
        const { key, namespace, task, value } = record
        return this.insert("state", { namespace, task, key, value })
      }
      case "Permit": {
        const { cell, kind, name, namespace } = record
        return this.insert("permit", { namespace, kind, name, cell })
      }
      case "Lock": {
        const { endsInMillis, fence, holder, key } = record
        return this.insert("lock", {
          key,
          holder,
          fence,
          ttl_millis: endsInMillis,
          expires_at: now + endsInMillis,
        })
      }
    }
  }

  /** The number of the last trigger is that of its row, which stays. */
  private mark({ incarnation, run }: Of<"Marks">): void {
    this.at.run("UPDATE meta SET value = max(value, ?) WHERE key = 'run'", run)
    this.at.run("DELETE FROM sqlite_sequence WHERE name = 'executor'")
    this.at.run("INSERT INTO sqlite_sequence VALUES ('executor', ?)", incarnation)
  }

  private addExecutor(record: Of<"Executor">): void {
    const { beatAt, standing, ttlMillis } = record
    this.insert("executor", {
      incarnation: record.incarnation,
      namespace: record.namespace,
      name: record.name,
      standing,
      capacity: record.capacity,
      labels: JSON.stringify(record.labels),
      resources: JSON.stringify(record.resources),
      tasks: JSON.stringify(record.tasks),
      ttl_millis: ttlMillis,
      joined_at: record.joinedAt,
      beat_at: beatAt,
      ends_at: standing === "left" ? beatAt : beatAt + ttlMillis,
      // Whether it holds anything, the next recovery finds out.
      may_hold: 1,
    })
  }

  private addTrigger(record: Of<"Trigger">): void {
    const { definition } = record
    const { name, namespace, schedule } = definition
    this.insert("trigger", {
      id: record.id,
      namespace,
      name,
      partition: Trigger.partitionOf(namespace, name),
      definition: trigger.encode(definition),
      revision: record.revision,
      is_paused: Number(record.isPaused),
      is_removed: Number(record.isRemoved),
      cursor: record.cursor,
      calendar: Trigger.calendarOf(schedule),
      is_permanent: Number(schedule._tag === "Permanent"),
    })
    if (record.tail !== undefined) {
      const { source } = record.tail
      this.insert("tail", { trigger: record.id, source, ...Tailing.rowOf(record.tail) })
    }
    if (schedule._tag !== "After" || record.isRemoved) return
    this.insert("subscription", {
      namespace,
      consumer: Outbox.triggers,
      name,
      partition: Trigger.partitionOf(namespace, name),
      kind: this.names.kindOf(namespace, schedule.task),
      ends: Ends.bitsOf(schedule.on),
    })
  }

  private addRun(record: Of<"Run">): void {
    const { changes, checkpoint, deadlineAt, gate, id, idempotencyKey, levelSet, shard } = record
    const kind = this.names.kindOf(record.namespace, record.task)
    const lane = this.names.laneOf(record.lane)
    const from = record.trigger === undefined ? undefined : this.at.get<{ id: number }>(
      "SELECT id FROM trigger WHERE namespace = ? AND name = ?",
      record.namespace,
      record.trigger,
    )
    this.insert("run", {
      id,
      kind,
      lane,
      level: record.level,
      created_at: record.createdAt,
      delay_millis: record.delayMillis,
      is_at_most_once: Number(record.isAtMostOnce),
      crashes_max: record.crashesMax,
      gate: gate?.key,
      gate_places: gate?.places,
      gate_when_full: gate?.whenFull,
      trigger: from?.id,
      slot: record.slot,
      idempotency_key: idempotencyKey,
      payload: record.payload,
    })
    if (record.keyedBy !== undefined) {
      this.insert("idempotency", { namespace: record.namespace, key: idempotencyKey, run: id })
    }
    if (shard !== undefined) {
      const { count, index, parent } = shard
      this.insert("child", { parent, nth: index, count, run: id })
    }
    if (levelSet !== undefined || changes !== undefined) {
      this.insert("level_set", { run: id, level: levelSet ?? record.level, changes: changes ?? 1 })
    }
    if (deadlineAt !== undefined) this.insert("deadline", { run: id, at: deadlineAt })
    if (checkpoint !== undefined) this.insert("checkpoint", { run: id, value: checkpoint })
    if (record.conclusion !== undefined) {
      const { failure, ...conclusion } = record.conclusion
      this.insert("conclusion", {
        run: id,
        fence: record.place.fence,
        ...conclusion,
        failure: failure && JSON.stringify(failure),
      })
    }
    const { boundTo, placed } = record
    if (boundTo !== undefined || placed !== undefined) {
      const { at, ...placement } = placed ?? {}
      this.insert("placed", {
        run: id,
        bound_to: boundTo,
        at,
        placement: placed && JSON.stringify(placement),
      })
    }
    for (const { at, attempt, by, detail, executor, failure, fence, kind } of record.journal) {
      this.insert("journal", {
        run: id,
        at,
        kind,
        attempt,
        fence,
        detail,
        failure: failure && JSON.stringify(failure),
        incarnation: executor?.incarnation,
        asked_by: by,
      })
    }
    this.put(record, kind, lane)
    const state = record.place._tag === "Ended" ? record.place.state : record.place._tag
    const states = this.tallies.get(kind) ?? new Map<Run.StateName, number>()
    this.tallies.set(kind, states.set(state, (states.get(state) ?? 0) + 1))
  }

  /** Where it stands. */
  private put(record: Of<"Run">, kind: number, lane: number): void {
    const { createdAt, gate, id, place } = record
    const level = record.levelSet ?? record.level
    const { attempt, crashes, fence, settled } = place
    const course = { run: id, kind, attempt, crashes, fence, settled }
    const gateKey = gate?.key
    switch (place._tag) {
      case "Scheduled":
        return this.insert("scheduled", {
          ...course,
          is_careful: Number(place.isCareful),
          due_at: place.dueAt,
          gate: gateKey,
        })
      case "Blocked":
        return this.insert("blocked", {
          ...course,
          is_careful: Number(place.isCareful),
          gate: gateKey,
          level,
          turn: place.turn,
          rank: place.rank ?? Blocking.rankByAge({ level, turn: place.turn }),
        })
      case "Ready":
        return this.insert("ready", {
          ...course,
          is_careful: Number(place.isCareful),
          lane,
          level,
          rank: place.rank,
          is_late: 1,
          due_at: place.dueAt,
          gate: gateKey,
        })
      case "Running":
        return this.insert("lease", {
          ...course,
          is_careful: Number(place.isCareful),
          incarnation: place.incarnation,
          loop: place.loop,
          round: place.round,
          is_started: Number(place.isStartMarked),
          is_cancelling: Number(place.isCancelling),
          is_suspending: Number(place.isSuspending),
          claimed_at: place.claimedAt,
          due_at: place.dueAt,
          gate: gateKey,
        })
      case "Awaiting":
      case "Suspended": {
        const isAwaiting = place._tag === "Awaiting"
        const isAdmitted = !isAwaiting && place.hasPlace
        return this.insert("parked", {
          ...course,
          is_careful: Number(place.isCareful),
          state: place._tag,
          is_parent: Number(isAwaiting && place.isParent),
          is_admitted: Number(isAdmitted),
          since: isAwaiting ? place.claimedAt ?? createdAt : place.since,
          awaits_until: isAwaiting ? place.awaitsUntil : undefined,
          incarnation: isAwaiting ? place.incarnation : undefined,
          claimed_at: isAwaiting ? place.claimedAt : undefined,
          gate: isAwaiting || isAdmitted ? gateKey : undefined,
        })
      }
      case "Ended":
        return this.insert("outcome", {
          ...course,
          is_careful: 0,
          state: Run.finals.indexOf(place.state),
          incarnation: place.incarnation,
          claimed_at: place.claimedAt,
          due_at: place.dueAt,
          finished_at: place.finishedAt,
          result: place.result,
          failure: place.failure && JSON.stringify(place.failure),
        })
    }
  }
}
