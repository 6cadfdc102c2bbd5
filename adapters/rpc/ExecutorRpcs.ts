/**
 * The calls between an executor and a server, as they cross the wire: `Transport`, with schemas.
 *
 * Every call carries the token in its `authorization` header. All that comes in is bounded here:
 * how many of a thing one call may name, how long it may wait, how large a frame may be.
 */
import { Schema } from "effect"
import { Rpc, RpcGroup, RpcMiddleware, RpcSerialization } from "effect/rpc"
import { BreakerName } from "../../core/domain/Breaker.ts"
import { Incarnation, Joining, Vitals } from "../../core/domain/Executor.ts"
import { Lane } from "../../core/domain/Lane.ts"
import { Fence } from "../../core/domain/Lease.ts"
import { Namespace } from "../../core/domain/Namespace.ts"
import { Regulation } from "../../core/domain/Permit.ts"
import { PoolSizes } from "../../core/domain/PoolSizes.ts"
import { Refused } from "../../core/domain/Refused.ts"
import { RunId } from "../../core/domain/RunId.ts"
import { TaskDefinition, TaskName } from "../../core/domain/Task.ts"
import { Told } from "../../core/services/LogStorage.ts"
import {
  ClaimRequest,
  Concluding,
  Endings,
  Grant,
  Mark,
  Report,
  Settled,
  stateKeyMax,
} from "../../core/services/RunStorage.ts"
import {
  JoinRefused,
  Passage,
  SessionLost,
  TransportUnavailable,
} from "../../core/services/Transport.ts"

/** A larger frame ends the connection. Give it to the HTTP server as `websocket.maxPayload`. */
export const frameBytesMax = 64 * 1024 * 1024
/** Both ends cut what they send into batches of about this size, or one item if that is larger. */
export const batchBytesMax = 4 * 1024 * 1024
export const batchMax = 1000
/** A call that waits is answered after this long, and made again. */
export const waitMillisMax = 60_000

const atMost = <S extends Schema.Constraint>(item: S, max: number) =>
  Schema.Array(item).check(Schema.isMaxLength(max))

const waitMillis = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: waitMillisMax }))
const reports = atMost(Report, batchMax)
const ofIncarnation = { incarnation: Incarnation }

const HeldGrant = Schema.Struct({ run: RunId, fence: Fence })
const RevokedGrant = Schema.Struct({
  ...HeldGrant.fields,
  isSuspending: Schema.optionalKey(Schema.Literal(true)),
})

/** The token is missing or unknown. */
export class TokenRefused extends Schema.TaggedError<TokenRefused>()("TokenRefused", {}) {
  override get message() {
    return "the server does not know this token"
  }
}

/** The connection has too many calls under way. */
export class ConnectionBusy extends Schema.TaggedError<ConnectionBusy>()("ConnectionBusy", {
  callsMax: Schema.Int,
}) {
  override get message() {
    return `the connection has ${this.callsMax} calls under way already`
  }
}

export class ExecutorAuth extends RpcMiddleware.Service<ExecutorAuth>()(
  "belfry/adapters/rpc/ExecutorAuth",
  { error: Schema.Union([TokenRefused, ConnectionBusy]), requiredForClient: true },
) {}

export class ExecutorRpcs extends RpcGroup.make(
  Rpc.make("join", {
    payload: Joining,
    success: Incarnation,
    error: Schema.Union([JoinRefused, TransportUnavailable]),
  }),
  Rpc.make("serve", {
    payload: { ...ofIncarnation, definitions: atMost(TaskDefinition, 10_000) },
    error: Schema.Union([Refused, SessionLost, TransportUnavailable]),
  }),
  Rpc.make("round", {
    payload: {
      ...ClaimRequest.fields,
      lanes: atMost(Lane, 10_000),
      reports,
      waitMillis,
      regulation: Schema.optional(Regulation),
      looks: Schema.optionalKey(Schema.Literal(true)),
    },
    success: Schema.Struct({
      settled: Schema.Array(Settled),
      grants: Schema.Array(Grant),
      isReady: Schema.optionalKey(Schema.Literal(true)),
    }),
    error: Schema.Union([SessionLost, TransportUnavailable]),
  }),
  Rpc.make("settle", {
    payload: { ...ofIncarnation, reports },
    success: Schema.Array(Settled),
    error: TransportUnavailable,
  }),
  Rpc.make("start", {
    payload: {
      ...ofIncarnation,
      marks: atMost(Mark, batchMax),
    },
    success: Schema.Array(Schema.Boolean),
    error: TransportUnavailable,
  }),
  Rpc.make("pass", {
    payload: { run: RunId, breaker: BreakerName, regulation: Schema.optionalKey(Regulation) },
    success: Passage,
    error: TransportUnavailable,
  }),
  Rpc.make("conclude", {
    payload: { ...ofIncarnation, conclusions: atMost(Concluding, batchMax) },
    success: Schema.Array(Schema.Boolean),
    error: TransportUnavailable,
  }),
  Rpc.make("state", {
    payload: {
      namespace: Namespace,
      task: TaskName,
      key: Schema.String.check(Schema.isMaxLength(stateKeyMax)),
    },
    success: Schema.Option(Schema.String),
    error: TransportUnavailable,
  }),
  Rpc.make("beat", {
    payload: {
      ...ofIncarnation,
      held: Schema.Struct({ count: Schema.Int, digest: Schema.Int }),
      vitals: Schema.optionalKey(Vitals),
      endings: Schema.optionalKey(Endings),
    },
    success: Schema.TaggedUnion({
      Alive: {
        revoked: Schema.Array(RevokedGrant),
        isAgreed: Schema.Boolean,
        sizes: Schema.optionalKey(PoolSizes),
      },
      Lost: {},
    }),
    error: TransportUnavailable,
  }),
  Rpc.make("reconcile", {
    payload: {
      ...ofIncarnation,
      known: Schema.Struct({
        grants: atMost(HeldGrant, 200_000),
        rounds: atMost(Schema.Struct({ loop: Schema.Int, round: Schema.Int }), 64),
      }),
    },
    success: Schema.Array(RunId),
    error: TransportUnavailable,
  }),
  /** None when there were none within the wait. */
  Rpc.make("revocations", {
    payload: { ...ofIncarnation, waitMillis },
    success: Schema.Array(RevokedGrant),
    error: TransportUnavailable,
  }),
  Rpc.make("tell", {
    payload: { ...ofIncarnation, told: atMost(Told, batchMax) },
    error: TransportUnavailable,
  }),
  Rpc.make("drain", { payload: ofIncarnation, error: TransportUnavailable }),
  Rpc.make("leave", { payload: ofIncarnation, error: TransportUnavailable }),
).middleware(ExecutorAuth) {}

export const layerSerialization = RpcSerialization.layerSchemaBinary({
  maxFrameSize: frameBytesMax,
})
