/** All commands there are, and how often each of them is drawn, all in all. */
import type { Draws } from "../Draws.ts"
import { find, listed } from "../views.ts"
import type { Command } from "../World.ts"
import * as Definitions from "./definitions.ts"
import * as Grants from "./grants.ts"
import * as Members from "./members.ts"
import * as Orders from "./orders.ts"
import * as Permits from "./permits.ts"
import * as Submits from "./submits.ts"
import * as Sweeps from "./sweeps.ts"
import * as Tails from "./tails.ts"

const weights: ReadonlyArray<readonly [weight: number, command: Command]> = [
  [9, Submits.submit],
  [2, Submits.submitFamily],
  [14, Grants.claim],
  [14, Grants.settle],
  [6, Grants.start],
  [1, Grants.reconcile],
  [1, Grants.beat],
  [5, Grants.leaveEndings],
  [3, Orders.cancel],
  [3, Orders.suspend],
  [4, Orders.change],
  [4, Orders.resume],
  [3, Orders.notify],
  [3, Orders.revive],
  [2, Orders.rollback],
  [4, Sweeps.admit],
  [2, Sweeps.admitOpen],
  [1, Sweeps.openGates],
  [2, Sweeps.expire],
  [4, Sweeps.promote],
  [5, Sweeps.recover],
  [3, Sweeps.endOverdue],
  [2, Sweeps.quiet],
  [1, Sweeps.retire],
  [4, Members.join],
  [2, Members.beatAll],
  [0.5, Members.drain],
  [2, Members.leave],
  [1, Definitions.define],
  [0.5, Definitions.introduce],
  [1, Definitions.putCalendar],
  [0.5, Definitions.removeCalendar],
  [3, Definitions.putTrigger],
  [0.5, Definitions.removeTrigger],
  [1, Definitions.pauseTrigger],
  [1, Definitions.due],
  [4, Definitions.fire],
  [3, Tails.take],
  [3, Permits.take],
  [0.5, Permits.look],
  [1, Permits.giveBack],
  [2.5, Permits.hear],
  [0.5, Permits.set],
  [0.5, Permits.order],
  [0.5, Permits.find],
  [0.5, Permits.orderGroup],
  [0.2, Permits.findGroup],
  [0.5, Permits.forget],
  [0.5, Permits.depth],
  [0.5, Permits.backlog],
  [1, find],
  [1, listed],
]

/** What a sequence draws its commands from. */
export type Mix = typeof weights

/** Some come often and others hardly ever, so that those meet that else rarely do. */
export const mixOf = (draws: Draws): Mix =>
  weights.map(([weight, command]) => [weight * draws.oneOf([0.2, 1, 1, 4]), command])

/** The command at this share of all weights. */
export const commandAt = (mix: Mix, share: number): Command => {
  let left = share * mix.reduce((sum, [weight]) => sum + weight, 0)
  for (const [weight, command] of mix) {
    left -= weight
    if (left < 0) return command
  }
  return mix[0]![1]
}
