/** The steps from one shape of the file to the next, forward only, never edited once landed. */
import { ground } from "./0001_ground.ts"
import { states } from "./0002_states.ts"
import { executorResources } from "./0003_executor_resources.ts"
import { calendars } from "./0004_calendars.ts"
import { history } from "./0005_history.ts"
import { permits } from "./0006_permits.ts"
import { statesOfTasks } from "./0007_states_of_tasks.ts"
import { triggers } from "./0008_triggers.ts"
import { placements } from "./0009_placements.ts"
import { outbox } from "./0010_outbox.ts"
import { logs } from "./0011_logs.ts"
import { levels } from "./0012_levels.ts"
import { tails } from "./0013_tails.ts"
import { shares } from "./0014_shares.ts"
import { levelsSet } from "./0015_levels_set.ts"
import { holders } from "./0016_holders.ts"
import { orders } from "./0017_orders.ts"
import { changes } from "./0018_changes.ts"
import { gateRanks } from "./0019_gate_ranks.ts"
import { gateOrders } from "./0020_gate_orders.ts"
import { endings } from "./0021_endings.ts"
import { answers } from "./0022_answers.ts"
import { beginners } from "./0023_beginners.ts"
import { notified } from "./0024_notified.ts"
import { rounds } from "./0025_rounds.ts"

/** The step at index `n` makes version `n + 1`, which is kept as `user_version`. */
export const steps: ReadonlyArray<string> = [
  ground,
  states,
  executorResources,
  calendars,
  history,
  permits,
  statesOfTasks,
  triggers,
  placements,
  outbox,
  logs,
  levels,
  tails,
  shares,
  levelsSet,
  holders,
  orders,
  changes,
  gateRanks,
  gateOrders,
  endings,
  answers,
  beginners,
  notified,
  rounds,
]
