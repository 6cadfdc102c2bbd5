/** Runs to be, as the columns of one statement: what submits and fires have in common. */
import { Effect } from "effect"
import * as Asked from "../../core/domain/Asked.ts"
import * as Run from "../../core/domain/Run.ts"
import type { StorageUnavailable } from "../../core/services/StorageUnavailable.ts"
import type { RunSpec } from "../../core/services/RunStorage.ts"
import { booleans, numbers, numbersOrNull, texts } from "./Pg.ts"
import { placesOf } from "./PgAdmission.ts"
import type { PgNames } from "./PgNames.ts"

export interface Columns {
  readonly tasks: ReadonlyArray<number>
  readonly lanes: ReadonlyArray<number>
  /** task int[], lane int[], level smallint[], payload text[], is_at_most_once, crashes_max */
  readonly plain: ReadonlyArray<unknown>
  /** delay bigint[], gate text[], gate_places int[], is_gate_discarding boolean[] */
  readonly special: ReadonlyArray<unknown>
  /** bigint[] */
  readonly deadlines: unknown
  /** text[] */
  readonly asked: () => unknown
}

export const columns = (
  names: PgNames,
  specs: ReadonlyArray<RunSpec | undefined>,
): Effect.Effect<Columns, StorageUnavailable> => {
  const present = specs.filter((spec) => spec !== undefined)
  return Effect.map(
    Effect.all([
      names.taskNumbers(present),
      names.laneNumbers(present.map(({ lane }) => lane)),
    ]),
    ([presentTasks, presentLanes]) => {
      let next = 0
      const at = specs.map((spec) => spec === undefined ? -1 : next++)
      const tasks = at.map((index) => presentTasks[index] ?? 0)
      const lanes = at.map((index) => presentLanes[index] ?? 0)
      return {
        tasks,
        lanes,
        plain: [
          numbers(tasks),
          numbers(lanes),
          numbers(specs.map((spec) => spec?.level ?? 0)),
          texts(specs.map((spec) => spec?.payload)),
          booleans(specs.map((spec) => spec?.isAtMostOnce ?? false)),
          numbers(specs.map((spec) => spec?.crashesMax ?? 0)),
        ],
        special: [
          numbers(specs.map((spec) => Math.ceil(spec?.delayMillis ?? 0))),
          texts(specs.map((spec) => spec?.gate?.key)),
          numbersOrNull(specs.map((spec) => spec?.gate && placesOf(spec.gate))),
          `{${specs.map(({ gate } = {} as RunSpec) => isDiscarding(gate)).join(",")}}`,
        ],
        deadlines: numbersOrNull(specs.map((spec) => spec?.deadlineMillis)),
        asked: () => texts(specs.map((spec) => spec?.asked && Asked.textOf(spec.asked))),
      }
    },
  )
}

const isDiscarding = (gate: RunSpec["gate"]): string =>
  gate === undefined ? "NULL" : gate.whenFull === "discard" ? "t" : "f"

/** It waits in its lane, whatever else there is of it. */
export const isReady = (spec: RunSpec): boolean => spec.gate === undefined && spec.delayMillis === 0

/** Nothing of it but a row that is ready at once. */
export const isPlain = (spec: RunSpec): boolean =>
  spec.gate === undefined && spec.delayMillis === 0 && spec.deadlineMillis === undefined &&
  spec.asked === undefined

/** Of those that are scheduled. */
export const delays = (specs: ReadonlyArray<RunSpec | undefined>): ReadonlyArray<number> =>
  specs.flatMap((spec) => spec !== undefined && spec.delayMillis > 0 ? [spec.delayMillis] : [])

export const firstState = (spec: RunSpec): Run.RunState["_tag"] =>
  Run.submitted({
    isDueLater: spec.delayMillis > 0,
    isGated: spec.gate !== undefined,
    isAtMostOnce: spec.isAtMostOnce,
  })._tag
