"""Every proved property: what it says, and what it does not say. The runner fails when this list and the harnesses differ."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Property:
    """`name` is the harness's function. `inv` are the acceptance ids it supports."""

    contract: str
    name: str
    inv: str
    says: str
    says_not: str


_WORD = "that callers pass the word of the right account; amounts beyond 256 bits do not exist"
_DEAL = "that callers pass numbers that fit their fields (the signature's types see to that), nor when a step is allowed"
_ROUND = "anything about who may take the step, or when"
_LEDGER = "anything of a second token, strategy or pool: keys of mappings are taken to be distinct hashes"
_TREE = "anything beyond two levels and two leaves; the staking machine tests larger trees"
_RULES = "that the sums of an opening fit 96 bits; the opening checks that, and the contract tests check the opening"

SYMBOLIC = (
    Property("WordChecks", "check_addFree_changes_free_alone", "I33",
             "for every word and amount: free grows by the amount and no other bit changes, or it reverts, exactly when 96 bits do not hold the sum", _WORD),
    Property("WordChecks", "check_subFree_changes_free_alone", "I33",
             "for every word and amount: free shrinks by the amount and no other bit changes, or it reverts, exactly when there is less", _WORD),
    Property("WordChecks", "check_lock_moves_free_to_locked", "I2 I33",
             "what free loses locked gains, floors stay; it reverts exactly when free is short or locked would overflow", _WORD),
    Property("WordChecks", "check_subLocked_changes_locked_alone", "I33",
             "locked shrinks by the amount and no other bit changes; it reverts exactly when there is less", _WORD),
    Property("WordChecks", "check_raiseFloors_never_lowers", "I16 I33",
             "each floor becomes the larger of old and new, amounts stay", _WORD),
    Property("WordChecks", "check_agreed_reads_back", "I33",
             "provider, judge window, deadline and audit bit of an agreed deal read back as written", _DEAL),
    Property("WordChecks", "check_resultsSubmitted_reads_back", "I25 I33",
             "commitment, deadline and period read back as written; no dispute, no delivery challenge yet", _DEAL),
    Property("WordChecks", "check_inMediation_keeps_the_result", "I25 I33",
             "from any word: kind and deadline as given, commitment and period kept, the mark of a delivery challenge only ever set", _DEAL),
    Property("WordChecks", "check_delivered_keeps_the_result", "I25 I33",
             "from any word: commitment, period and the mark of a delivery challenge kept, the kind cleared", _DEAL),
    Property("WordChecks", "check_ended_keeps_what_is_known", "I25 I33",
             "from any word, for each final state: commitment, period, kind and mark kept bit for bit, the time in place of the deadline", _DEAL),
    Property("WordChecks", "check_move_follows_the_table", "I3 I4",
             "for every pair of words a move succeeds exactly if protocol section 4 has the edge, and then writes the new word", _DEAL),
    Property("WordChecks", "check_move_out_of_a_final_state_is_impossible", "I4",
             "no word whose state is final, or no state at all, can be moved", "that nothing but _move writes deal words; the static checks see to that"),
    Property("WordChecks", "check_move_leaves_other_deals", "I30",
             "a move of one deal leaves the word of every other as it was", "anything about ledger words, which deals of one account share"),
    Property("RoundChecks", "check_queued_reads_back", "I33",
             "round number, opened, late and ticket read back; seats empty, no flag set, no deadline", _ROUND),
    Property("RoundChecks", "check_to_changes_phase_and_deadline_alone", "I33",
             "from any word: phase and deadline as given, every other bit kept", _ROUND),
    Property("RoundChecks", "check_withSeat_changes_one_seat", "I33 I34",
             "from any word: the seat's three bits as given, every other seat and bit kept", _ROUND),
    Property("RoundChecks", "check_withFacts_changes_facts_alone", "I33",
             "from any word: facts as given, every other bit kept", _ROUND),
    Property("RoundChecks", "check_past_puts_the_finding_where_the_phase_was", "I33 I35",
             "from any word: the finding reads back, no deadline is left, every other bit kept", _ROUND),
    Property("RoundChecks", "check_flags_change_themselves_alone", "I33",
             "opened and redrawn set their own bit and no other", _ROUND),
    Property("RoundChecks", "check_count_of_a_panel_of_three_is_exact", "I35",
             "for every word of a round of three and every state the count is that of its first three seats", "panels of 7 and 15, whose branches are too many; the contract tests count those"),
    Property("LedgerChecks", "check_credit_transfer_conserves", "I1 I7",
             "for all balances that the ledger can hold: what the sender loses the recipient gains, also when they are one; it reverts exactly when credit is short or the recipient is 0", _LEDGER),
    Property("LedgerChecks", "check_release_pays_what_it_unlocks", "I1 I2",
             "locked and free change by exactly what is asked, in one write", _LEDGER),
    Property("LedgerChecks", "check_take_never_takes_more_than_there_is", "I7",
             "free shrinks by the amount, or it reverts, exactly when there is less; locked stays", _LEDGER),
    Property("LedgerChecks", "check_accrue_loses_nothing", "I1 I13 I33",
             "two accruals of any amounts that the ledger can hold, the 80-bit overflow word included, add up to the unit",
             "a third accrual; the word that it meets is any of those that two can make, but this is not proved here"),
    Property("LedgerChecks", "check_sweep_loses_nothing", "I1 I13",
             "after an accrual of any amounts the sweep moves each to its own owner and leaves zero", _LEDGER),
    Property("LedgerChecks", "check_claimSolverFee_pays_the_solver_exactly", "I1 I7 I13",
             "the solver's credit grows by its fee, the royalty beside it stays, a second claim pays nothing", _LEDGER),
    Property("TreeChecks", "check_set_changes_one_leaf_and_the_sum", "I24",
             "any two leaves of sixteen and any weights of 32 bits: a change is in the leaf and the root, and nowhere else", _TREE),
    Property("TreeChecks", "check_find_answers_the_leaf_that_covers_the_point", "I11 I24",
             "leaves 3 and 9, any weights of 32 bits, any point below the sum: the leaf that covers it, with its weight", _TREE),
    Property("TreeChecks", "check_grow_keeps_the_sum", "I24",
             "any leaf of four, any weight of 64 bits: growing keeps the root's sum and the leaf", _TREE),
)  # fmt: skip
INDUCTIVE = (
    Property("RuleProofs", "prove_share_is_at_most_all", "I13 I14",
             "a share at a rate of at most 100 % is at most the amount", _RULES),
    Property("RuleProofs", "prove_share_is_rounded_down_by_less_than_one", "I13",
             "a share times 10,000 is the product or less, by less than 10,000", _RULES),
    Property("RuleProofs", "prove_premium_is_rounded_up_by_less_than_one", "I38 I43",
             "the premium is seat fee times rate times 1.1, rounded up by less than one unit", _RULES),
    Property("RuleProofs", "prove_seat_fee_is_never_below_its_floors", "I38",
             "the seat fee is at least the pool's floor, the module's minimum and 1.25 times the value", _RULES),
    Property("RuleProofs", "prove_penalty_is_at_most_collateral_and_value", "I9",
             "the penalty is the smaller of collateral and value", _RULES),
    Property("RuleProofs", "prove_gross_grows_with_units", "I14",
             "more units never cost less, none cost the price", _RULES),
)  # fmt: skip
FALSE = (
    Property("WordChecks", "check_false_locked_money_is_free", "", "what is locked is at most what is free: wrong", "the runner has to see it fail"),
    Property("RuleProofs", "prove_false_a_share_is_never_nothing", "", "a share of something is something: wrong", "the runner has to see it fail"),
)  # fmt: skip
