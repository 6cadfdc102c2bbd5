/** The times of the simulated world, in milliseconds from its begin, but for the begin itself. */

/**
 * When the world begins: years in, so that an instant is not mistaken for a small number, and a little
 * before midnight, so that it sees two days.
 */
export const startsAt = Date.UTC(2025, 11, 31, 23, 59, 40)

/** Things go wrong up to here; then all heals, and everything has to end. */
export const healsAt = 40_000
/** Who was killed or paused is back by then. */
export const backAt = 45_000
export const triggersUntil = 60_000
/** The last moment: everything but a fault in the product has ended long before. */
export const endsAt = 300_000

/** Of the leases of executors, and of the lock of those who stand by. */
export const ttlMillis = 4000
export const standbyMillis = 5000
/** So long whoever is closed waits for its runs to end. */
export const drainMillis = 250

/** All that went wrong has been made up for: leases have run out, and sweeps have come by. */
export const calmAt = backAt + standbyMillis + 2000
