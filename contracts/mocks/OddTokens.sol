// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title Test doubles: a plain token and tokens with the habits that tokens really have
/// @notice Anyone mints, blocks, pauses and arms. Never deployed but in tests.

/// @notice A plain ERC-20 with permit and any number of decimals.
contract PlainToken is ERC20, ERC20Permit {
    uint8 private immutable _DECIMALS;

    constructor(string memory name_, uint8 decimals_) ERC20(name_, name_) ERC20Permit(name_) {
        _DECIMALS = decimals_;
    }

    function decimals() public view override returns (uint8) {
        return _DECIMALS;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function burn(address from, uint256 amount) external {
        _burn(from, amount);
    }
}

/// @notice Keeps a fee of each transfer.
contract FeeToken is PlainToken {
    uint256 public immutable feeBps;

    constructor(uint256 feeBps_) PlainToken("Fee", 18) {
        feeBps = feeBps_;
    }

    function _update(address from, address to, uint256 amount) internal override {
        if (from == address(0) || to == address(0)) return super._update(from, to, amount);
        uint256 fee = amount * feeBps / 10_000;
        super._update(from, to, amount - fee);
        super._update(from, address(0), fee);
    }
}

/// @notice Answers false, moves nothing, reverts never.
contract FalseReturnToken is PlainToken {
    constructor() PlainToken("False", 18) {}

    function transfer(address, uint256) public pure override returns (bool) {
        return false;
    }

    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return false;
    }
}

/// @notice As old tokens that answer nothing, and with their six decimals.
contract NoReturnToken {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;
    uint256 public totalSupply;
    uint8 public constant decimals = 6;

    event Transfer(address indexed from, address indexed to, uint256 amount);

    function mint(address to, uint256 amount) external {
        totalSupply += amount;
        balanceOf[to] += amount;
        emit Transfer(address(0), to, amount);
    }

    function approve(address spender, uint256 amount) external {
        allowance[msg.sender][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) private {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        emit Transfer(from, to, amount);
    }
}

/// @notice Blocks accounts, and pauses altogether.
contract BlacklistToken is PlainToken {
    mapping(address => bool) public blocked;
    bool public paused;

    error Blocked(address account);
    error Paused();

    constructor() PlainToken("Blacklist", 6) {}

    function setBlocked(address account, bool blocked_) external {
        blocked[account] = blocked_;
    }

    function setPaused(bool paused_) external {
        paused = paused_;
    }

    function _update(address from, address to, uint256 amount) internal override {
        if (paused) revert Paused();
        if (blocked[from]) revert Blocked(from);
        if (blocked[to]) revert Blocked(to);
        super._update(from, to, amount);
    }
}

/// @notice Changes everybody's balance by a factor.
contract RebasingToken is PlainToken {
    uint256 public shareBps = 10_000;

    constructor() PlainToken("Rebasing", 18) {}

    function rebase(uint256 shareBps_) external {
        shareBps = shareBps_;
    }

    function balanceOf(address account) public view override returns (uint256) {
        return super.balanceOf(account) * shareBps / 10_000;
    }
}

/// @notice Makes calls in the middle of a transfer, as the token itself, and remembers how they ended.
contract HookToken is PlainToken {
    struct Hook {
        address target;
        bytes data;
    }

    struct Ending {
        bool ok;
        bytes answer;
    }

    Hook[] private _hooks;
    Ending[] private _endings;
    bool private _running;

    constructor() PlainToken("Hook", 18) {}

    /// @notice The calls that the next transfers make, in this order. Empties what is remembered.
    function arm(Hook[] calldata hooks) external {
        delete _hooks;
        delete _endings;
        for (uint256 i = 0; i < hooks.length; i++) {
            _hooks.push(hooks[i]);
        }
    }

    function endings() external view returns (Ending[] memory) {
        return _endings;
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (_running) return;
        _running = true;
        for (uint256 i = 0; i < _hooks.length; i++) {
            (bool ok, bytes memory answer) = _hooks[i].target.call(_hooks[i].data);
            _endings.push(Ending(ok, answer));
        }
        _running = false;
    }
}
