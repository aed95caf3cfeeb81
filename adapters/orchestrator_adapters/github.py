"""The GitHub adapter: issues, pull requests, documents, releases, pages and workflows. See docs/adapters-github.md.

What it makes carries a hidden mark with the action's key, so that it is found again though its answer was lost.
"""

from orchestrator.adapter import Action, Delivery, ErrorClass, Place, Prepared, Receipt, Wanted
from orchestrator.errors import AdapterError, UsageError
from orchestrator_adapters import github_issues, github_publish, github_pulls, github_release
from orchestrator_adapters.github_api import ApiError, address, api_for, settled
from orchestrator_adapters.parameters import Parameters

_DEEDS = {**github_issues.DEEDS, **github_pulls.DEEDS, **github_publish.DEEDS, **github_release.DEEDS}


class GitHub:
    """Does what the module says."""

    name = "github"
    actions = frozenset(_DEEDS)

    def prepare(self, wanted: Wanted, place: Place) -> Prepared:
        """Return the action with its commits and contents fixed; asks the checkout.

        GitHub is asked who wrote a change that the checkout does not hold, where `place.may_ask`.

        Raises:
            UsageError: a parameter is missing, unknown or cannot be.
            AdapterError: the settings are not as they must be, there is no token, or GitHub cannot be asked.
        """
        address(place)
        deed = _DEEDS[wanted.action]
        return deed.prepare(Parameters(wanted, f"{deed.parameters} repository"), place)

    def perform(self, action: Action, key: str) -> Receipt:
        """Do it once; what GitHub may have done although its answer did not arrive is UNKNOWN.

        Raises:
            AdapterError: something is not configured, or the last look before it was sent says no.
        """
        try:
            with api_for(action) as api:
                return _DEEDS[action.name].perform(api, action, key)
        except ApiError as error:
            return error.receipt
        except UsageError as error:  # a file is no longer there
            return Receipt(Delivery.PERMANENT, detail=str(error), error_class=ErrorClass.PERMANENT)

    def reconcile(self, action: Action, key: str) -> Receipt | None:
        """Look for what an attempt made; None where GitHub cannot be asked, or does not answer as it should."""
        deed = _DEEDS[action.name]
        try:
            with api_for(action) as api:
                return settled(api, lambda: deed.look(api, action, key), f"{action.name}: nothing of it is there")
        except (AdapterError, UsageError, LookupError, TypeError, AttributeError):
            return None
