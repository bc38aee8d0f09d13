"""The switch of mutants in the EVMs of this process, and the traces of those that were asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from weakref import WeakSet

from pyrevm import EVM, CfgEnv, Env

from tests.assurance.mutation.mutants import LIT, SWITCH_ADDRESS
from tests.support import evm as evm_module


MOST = 2**32  # mutants
NONE = LIT + MOST
TRACED = LIT + 2 * MOST


class Switch:
    """Sets the mutant that every EVM of this process runs with, and lifts the limit of code size."""

    def __init__(self, build: Path) -> None:
        self._balance = NONE
        self._evms: WeakSet[Any] = WeakSet()
        self._traced: list[EVM] = []
        evm_module.BUILD = build
        evm_module._GAS_LIMIT = 2**36  # of a block; calls keep their own, the defaults of its functions
        deploy, init = evm_module.Evm.deploy, evm_module.Evm.__init__
        switch = self

        def fresh_with_switch(chain: Any) -> EVM:
            config = CfgEnv(chain_id=chain.chain_id, limit_contract_code_size=2**24)
            made = EVM(env=Env(cfg=config, block=chain._block()), spec_id=chain._spec, gas_limit=2**40)
            switch._set(made)
            if switch._balance == TRACED:
                switch._traced.append(made)
            return made

        def remember(chain: Any, *arguments: Any, **options: Any) -> None:
            init(chain, *arguments, **options)
            switch._evms.add(chain)

        def deploy_large(chain: Any, name: str, *arguments: Any, gas: int = 2**32, **options: Any) -> Any:
            return deploy(chain, name, *arguments, gas=gas, **options)

        evm_module.Evm._fresh = fresh_with_switch  # type: ignore[method-assign]
        evm_module.Evm.__init__ = remember  # type: ignore[method-assign]
        evm_module.Evm.deploy = deploy_large  # type: ignore[method-assign]

    def turn_on(self, number: int) -> None:
        self._set_all(LIT - number)

    def trace(self) -> None:
        """From now on no mutant is on, and every one that is asked for leaves a trace. For a fork: nothing forgets them."""
        self._traced = [chain._evm for chain in self._evms]
        self._set_all(TRACED)

    def traces(self) -> list[int]:
        """The mutants that were asked for since `trace`, in calls that failed as well."""
        loaded = (int(address, 16) - TRACED for evm in self._traced for address in evm.db_accounts)
        return sorted({number for number in loaded if 0 < number < MOST})

    def _set_all(self, balance: int) -> None:
        self._balance = balance
        for chain in self._evms:
            self._set(chain._evm)

    def _set(self, evm: EVM) -> None:
        evm.set_balance(SWITCH_ADDRESS, self._balance)
        evm.set_balance(f"{LIT:#042x}", 1)
