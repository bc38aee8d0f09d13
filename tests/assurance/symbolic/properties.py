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
_LEDGER = "anything of a second token, strategy or pool: there is one of each, and hashes are taken to be distinct; nothing of what accounts not named here own"
_PLAIN = "anything about floors, which the checks of the word cover"
_TREE = "anything of trees with more than two levels, which the staking machine tests, nor that callers keep the sum of all weights below 2^64"
_STEP = ("anything of the bytecode: the moves are LilypadPayments' own written again over Plain, which the PlainChecks and LedgerChecks tie to it one by one; "
         "nor anything of tokens. Two accounts, what all others have is one number that moves leave")
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
    Property("PlainChecks", "check_addFree_does_as_its_plain_form", "I1 I33",
             "for every word and amount addFree and Plain.add revert together or leave the same free and locked", _PLAIN),
    Property("PlainChecks", "check_subFree_does_as_its_plain_form", "I1 I7 I33",
             "for every word and amount subFree and Plain.sub revert together or leave the same free and locked", _PLAIN),
    Property("PlainChecks", "check_lock_does_as_its_plain_form", "I1 I2 I33",
             "for every word and amount lock and Plain.lock revert together or leave the same free and locked", _PLAIN),
    Property("PlainChecks", "check_subLocked_does_as_its_plain_form", "I1 I2 I33",
             "for every word and amount subLocked and Plain.sub revert together or leave the same free and locked", _PLAIN),
    Property("LedgerChecks", "check_credit_transfer_to_another_conserves", "I1 I7",
             "for every recipient and all balances that the ledger can hold: what the sender loses the recipient gains; it reverts exactly when credit is short or the recipient is 0", _LEDGER),
    Property("LedgerChecks", "check_credit_transfer_to_oneself_changes_nothing", "I1 I7",
             "for all balances: free and locked stay; it reverts exactly when credit is short", _LEDGER),
    Property("LedgerChecks", "check_release_pays_what_it_unlocks", "I1 I2",
             "for every account locked and free change by exactly what is asked; it reverts exactly when less is locked or 96 bits do not hold the sum", _LEDGER),
    Property("LedgerChecks", "check_take_never_takes_more_than_there_is", "I7",
             "for every account free shrinks by the amount, or it reverts, exactly when there is less; locked stays", _LEDGER),
    Property("LedgerChecks", "check_donate_moves_credit_to_the_fund", "I1 I7 I13",
             "for all amounts that the ledger can hold: what the donor loses the fund gains; it reverts exactly when credit is short", _LEDGER),
    Property("LedgerChecks", "check_accrue_loses_nothing", "I1 I13 I33",
             "from any two words of an accrual, the 80-bit one and the one for what outgrew it: each of the three sums grows by exactly its amount, hence after any number of accruals", _LEDGER),
    Property("LedgerChecks", "check_sweep_loses_nothing", "I1 I13",
             "from any accrual, any fees and any fund: the sweep moves each amount to its own owner and leaves zero", _LEDGER),
    Property("LedgerChecks", "check_claimSolverFee_pays_the_solver_exactly", "I1 I7 I13",
             "from any fees and credit: the solver's credit grows by its fee, the royalty beside it stays, a second claim pays nothing", _LEDGER),
    Property("LedgerChecks", "check_claimRoyalty_pays_who_the_terms_name", "I1 I7 I13",
             "from any fees and credit: the caller's credit grows by the royalty, the solver's fee beside it stays; it reverts exactly when the terms name another",
             _LEDGER + "; the other fields of the terms are zero here"),
    Property("TreeChecks", "check_set_changes_the_leaf_and_the_lane_above", "I24",
             "any words of two levels, each of sixteen leaves, any weight: the leaf has the weight, the lane above changes by the difference, every other bit stays; so lanes that were sums stay sums",
             _TREE + "; the lane above has the old weight in it and room for the new one"),
    Property("TreeChecks", "check_find_answers_the_lane_that_covers_the_point", "I11 I24",
             "any word, any point below the sum of its four lanes: the lane that covers the point, with its weight; a descent does this on every level",
             _TREE + "; that the steps of a descent fit together, which the staking machine tests"),
    Property("TreeChecks", "check_grow_keeps_the_sum", "I24",
             "any such tree: growing keeps every word and puts the sum of all above it", _TREE),
    Property("RuleChecks", "check_seat_fee_is_the_largest_of_three", "I38",
             "the seat fee is the largest of the pool's floor, the module's minimum and Plain.seatFee of the value", _RULES),
    Property("RuleChecks", "check_penalty_is_the_smaller_of_collateral_and_value", "I9",
             "the penalty is the smaller of collateral and value, whatever the product of unit price and units", _RULES),
)  # fmt: skip
INDUCTIVE = (
    Property("LedgerSteps", "prove_the_empty_ledger_is_balanced", "I1",
             "balanced: each amount fits 96 bits, and free, locked, pot and all others add up to what is held. The empty ledger is", _STEP),
    Property("LedgerSteps", "prove_deposit_keeps_the_balance", "I1",
             "from any balanced ledger a deposit of any amount reverts or leaves a balanced one", _STEP),
    Property("LedgerSteps", "prove_withdraw_keeps_the_balance", "I1 I7",
             "from any balanced ledger a withdrawal of any amount reverts or leaves a balanced one", _STEP),
    Property("LedgerSteps", "prove_transfer_keeps_the_balance", "I1 I7",
             "from any balanced ledger a transfer of any amount reverts or leaves a balanced one", _STEP),
    Property("LedgerSteps", "prove_donate_and_claim_keep_the_balance", "I1 I13",
             "from any balanced ledger a donation, and then a claim, of any amounts revert or leave a balanced one", _STEP),
    Property("LedgerSteps", "prove_lock_keeps_the_balance", "I1 I2",
             "from any balanced ledger a lock of any amount reverts or leaves a balanced one", _STEP),
    Property("LedgerSteps", "prove_settle_keeps_the_balance", "I1 I2 I13",
             "from any balanced ledger an outcome that gives what it takes from two escrows reverts or leaves a balanced one",
             _STEP + "; that the core checks outcomes (OutcomeUnbalanced), which the contract tests show"),
    Property("LedgerSteps", "prove_what_was_taken_can_be_credited", "I1 I5",
             "in a balanced ledger no transfer, donation or lock of what an account has is refused because 96 bits do not hold the sum", _STEP),
    Property("LedgerSteps", "prove_a_balanced_outcome_fits", "I1 I5",
             "in a balanced ledger no balanced outcome of what is locked is refused because 96 bits do not hold a sum", _STEP),
    Property("RuleProofs", "prove_share_is_at_most_all", "I13 I14",
             "a share at a rate of at most 100 % is at most the amount", _RULES),
    Property("RuleProofs", "prove_share_is_rounded_down_by_less_than_one", "I13",
             "a share times 10,000 is the product or less, by less than 10,000", _RULES),
    Property("RuleProofs", "prove_premium_is_rounded_up_by_less_than_one", "I38 I43",
             "the premium is seat fee times rate times 1.1, rounded up by less than one unit", _RULES),
    Property("RuleProofs", "prove_the_seat_fee_of_a_value_is_rounded_up_by_less_than_one", "I38",
             "Plain.seatFee, which check_seat_fee_is_the_largest_of_three ties to the contract's, is 1.25 times the value, rounded up by less than one unit", _RULES),
    Property("RuleProofs", "prove_gross_grows_with_units", "I14",
             "more units never cost less, none cost the price", _RULES),
)  # fmt: skip
FALSE = (
    Property("WordChecks", "check_false_locked_money_is_free", "", "what is locked is at most what is free: wrong", "the runner has to see it fail"),
    Property("LedgerSteps", "prove_false_a_deposit_changes_nothing", "", "a deposit leaves what is held: wrong", "the runner has to see it fail"),
    Property("RuleProofs", "prove_false_a_share_is_never_nothing", "", "a share of something is something: wrong", "the runner has to see it fail"),
)  # fmt: skip
