"""What migrations do besides Tortoise's own operations.

Not here: the migrations (`migrations/`), applying them (`revision.py`).
"""

from copy import deepcopy
from typing import Any

from tortoise.migrations.exceptions import IncompatibleStateError
from tortoise.migrations.operations import TortoiseOperation


class AddFields(TortoiseOperation):
    """Adds several fields to one table. Tortoise copies all tables' states for each operation: forty of its `AddField`
    take seconds.
    """

    def __init__(self, model_name: str, fields: dict[str, Any]) -> None:
        self.model_name = model_name
        self.fields = fields

    def describe(self) -> str:
        return f"Add fields {', '.join(self.fields)} to {self.model_name}"

    def state_forward(self, app_label: str, state: Any) -> None:
        model = self.get_model_state(state, app_label, self.model_name)
        reloaded = {(app_label, self.model_name)}
        for name, field in self.fields.items():
            if name in model.fields:
                raise IncompatibleStateError(f"Field {name} is in {self.model_name} already.")
            model.fields[name] = deepcopy(field)
            if hasattr(field, "model_name"):  # a key to another table
                reloaded.add(state.apps.split_reference(field.model_name))
        state.reload_models(reloaded)

    async def database_forward(
        self, app_label: str, old_state: Any, new_state: Any, state_editor: Any | None = None
    ) -> None:
        if state_editor is not None:
            model = new_state.apps.get_model(f"{app_label}.{self.model_name}")
            for name in self.fields:
                await state_editor.add_field(model, name)
